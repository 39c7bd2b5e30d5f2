"""Profiles of storms: what comes with the product, and what is said of those that cannot be used."""

from pathlib import Path

import pytest

from cimcare.storm.profile import BUILT_IN, ProfileError, load_profile, parse_profile

LEAST = """
name = "mine"
start = 2026-03-02T12:00:00Z
minutes = 10
tickets-in-all = 100
"""


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_profile_of_the_product_can_be_used(name: str) -> None:
    """A storm that is named in the documents begins at once."""
    profile = load_profile(name)

    assert profile.name == name
    assert profile.title
    assert profile.partners


def test_the_worst_hour_is_the_one_that_is_told_of() -> None:
    """150,000 tickets in an hour, bursts of five times, ten questions each: the yardstick of the field."""
    profile = load_profile("isaias")

    assert (profile.tickets_in_all, profile.minutes) == (150_000, 60)
    assert (profile.bursts.factor, profile.status.per_ticket, len(profile.partners)) == (5.0, 10.0, 3)


def test_the_million_comes_in_an_hour() -> None:
    """The claim is a million tickets in an hour."""
    profile = load_profile("million")

    assert (profile.tickets_in_all, profile.minutes) == (1_000_000, 60)


def test_a_profile_needs_little() -> None:
    """Somebody who writes the first one begins with four lines."""
    assert parse_profile("mine.toml", LEAST.encode()).tickets_in_all == 100


def test_profiles_with_the_same_values_are_the_same_however_they_are_written() -> None:
    """Comments and order of a file do not make another storm of it."""
    other = "# a remark\n" + "\n".join(reversed(LEAST.strip().splitlines()))

    assert parse_profile("a", LEAST.encode()).digest == parse_profile("b", other.encode()).digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            LEAST + "minuts = 3\n",
            "mine.toml:6: /minuts: SIM-111 Object contains unknown field `minuts`; one of name,",
        ),
        (LEAST + "[bursts]\nfactor = 'five'\n", "mine.toml:7: /bursts/factor: SIM-111 Expected `float`, got `str`"),
        (LEAST + "[hazards]\nshare = 2.0\n", "mine.toml:7: /hazards/share: SIM-111 Expected `float` <= 1.0"),
        (LEAST + "[status]\nper = 1\n", "one of per-ticket, within-minutes, incidents"),
        (
            LEAST + "[bursts]\nfactor = 10.0\nseconds = 7\n",
            "mine.toml:8: /bursts/seconds: SIM-111 7 at 10 times; at",
        ),
        (LEAST + "curve = [[0, 1], [0, 2]]\n", "mine.toml:6: /curve: SIM-111 minutes that do not go up"),
        (LEAST + "curve = [[0, 0], [3, 0]]\n", "not all of them 0"),
        (LEAST + "curve = [[10, 1], [13, 2]]\n", "a first minute below 10"),
        (
            LEAST + "[tickets]\nrepeats = 0.9\nwrong-accounts = 0.2\n",
            "/tickets/repeats: SIM-111 shares that add up to 1.1",
        ),
        (LEAST + "[hazards]\nwire-down=0.0\nfire=0.0\ngas=0.0\n", "a weight above 0 for one of them"),
        (LEAST + "[town]\nfeeder-faults=0.6\nlateral-faults=0.6\n", "1 together at most"),
        (
            LEAST + "[town]\npremises = 100\ncalling = 0.5\n",
            "mine.toml:7: /town/premises: SIM-111 100 for 81 callers;",
        ),
        (LEAST + "[[partners]]\nname = 'A'\n[[partners]]\nname = 'A'\n", "a name twice"),
        (LEAST + "[[partners]]\nname = 'A'\nfails-as = ''\n", "/partners/fails-as: SIM-111"),
        (LEAST.replace("minutes = 10", "minutes = "), "mine.toml:4: /: SIM-111 Invalid value"),
        (LEAST.replace("minutes = 10\n", ""), "missing required field `minutes`"),
        ("", "missing required field"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_what_would_pass(text: str, expected: str) -> None:
    """Whoever writes a profile finds the mistake without reading our code."""
    with pytest.raises(ProfileError) as raised:
        parse_profile("mine.toml", text.encode())

    assert expected in str(raised.value)
    assert raised.value.code == "SIM-111"


def test_a_file_that_is_no_text_is_told_with_its_line() -> None:
    """A file in another encoding is not read as something else."""
    with pytest.raises(ProfileError, match=r"mine.toml:3: /: SIM-111 byte 0xe4, which is no UTF-8; TOML in UTF-8"):
        parse_profile("mine.toml", b'name = "x"\n\ntitle = "b\xe4d"\n')


def test_a_profile_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    """A mistyped name is the mistake that is made most."""
    with pytest.raises(ProfileError, match="one of isaias, gust, blue-sky, million, or a file in TOML"):
        load_profile(str(tmp_path / "isaisa"))


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    """A profile of one's own."""
    file = tmp_path / "mine.toml"
    file.write_text(LEAST)

    assert load_profile(str(file)).name == "mine"


def test_an_instant_without_offset_is_in_utc() -> None:
    """TOML has instants without an offset; messages have none such."""
    profile = parse_profile("mine.toml", LEAST.replace("12:00:00Z", "12:00:00").encode())

    assert profile.start.isoformat() == "2026-03-02T12:00:00+00:00"
