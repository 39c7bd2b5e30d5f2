"""Lines of a file in TOML: found in every spelling, so that a mistake is named where it stands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.codec.toml_lines import lines_of

FILE = '''\
# [partners.commented]
port = 8968 # port = 1
"host" = '127.0.0.1'   # "x = 1"
  hub . queue_limit=3

[ partners . billing ]   # why
url = "https://billing.example/a#b?c=[1]"
owns = [
  "CustomerAgreements", # one
  # [partners.not]
  'Incidents',
]
text = """
[partners.nor]
url = "x"
\\""" still ""x"""""
literal = \'\'\'
[hub]
\'\'\'
when = 1979-05-27 07:32:00
[partners."a b".'c.d']
"\\u0075rl" = ""
[subscriptions.gis]
partner = { name = "x", "deep er" = { url = 1, kind.of = [ { p = 2 }, { q = "}" } ] } }
[[rows]]
first = 1
[[rows]]
second = +inf
[empty]
'''

EXPECTED = {
    "port": 2,
    "host": 3,
    "hub": 4,
    "hub/queue_limit": 4,
    "partners": 6,
    "partners/billing": 6,
    "partners/billing/url": 7,
    "partners/billing/owns": 8,
    "partners/billing/text": 13,
    "partners/billing/literal": 17,
    "partners/billing/when": 20,
    "partners/a b": 21,
    "partners/a b/c.d": 21,
    "partners/a b/c.d/url": 22,
    "subscriptions": 23,
    "subscriptions/gis": 23,
    "subscriptions/gis/partner": 24,
    "subscriptions/gis/partner/name": 24,
    "subscriptions/gis/partner/deep er": 24,
    "subscriptions/gis/partner/deep er/url": 24,
    "subscriptions/gis/partner/deep er/kind": 24,
    "subscriptions/gis/partner/deep er/kind/of": 24,
    "subscriptions/gis/partner/deep er/kind/of/p": 24,
    "subscriptions/gis/partner/deep er/kind/of/q": 24,
    "rows": 25,
    "rows/first": 26,
    "rows/second": 28,
    "empty": 29,
}


@pytest.mark.parametrize("text", [FILE, FILE.replace("\n", "\r\n"), FILE.rstrip("\n")], ids=["unix", "dos", "open"])
def test_every_spelling_is_found_on_its_line(text: str) -> None:
    """Dotted, quoted, inline, in tables, beside comments and strings that look like keys."""
    tomllib.loads(text)
    assert {"/".join(path): line for path, line in lines_of(text).items()} == EXPECTED


@pytest.mark.parametrize(
    "value",
    ['""', "''", '""""""', "''''''", '""""a""""', "''''a'''''", '"\\\\"', '"\\""', "'\\'", "[]", "{}", "[[], [1,]]",
     "0x1F", "-nan", "07:32:00", '"""\\\n  a"""', '"# no comment"', "[\n#]\n1\n,]"],
)  # fmt: skip
def test_no_value_hides_what_follows_it(value: str) -> None:
    """One quote miscounted, and all lines behind it are wrong."""
    text = f"a = {value}\nb = {value}#\n[t]\nc={value}\n"
    tomllib.loads(text)
    lines = value.count("\n")
    found = lines_of(text)
    assert (found["a",], found["b",], found["t",], found["t", "c"]) == (1, 2 + lines, 3 + 2 * lines, 4 + 2 * lines)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])), min_size=1, unique=True))
def test_any_name_is_found(names: list[str]) -> None:
    """Names are the user's own."""
    import msgspec

    text = "".join(f"\n[partners.{msgspec.json.encode(name).decode()}]\n" for name in names)
    text = text.replace("\x7f", "\\u007f")
    assert set(tomllib.loads(text)["partners"]) == set(names)
    assert {path[1]: line for path, line in lines_of(text).items() if len(path) == 2} == {
        name: 2 * number for number, name in enumerate(names, start=1)
    }
