"""Settings: every one with its facts, and mistakes that are named where they stand."""

from pathlib import Path

import msgspec
import pytest

from cimcare.codec.limits import Limits
from cimcare.hub.config.partner_keys import PARTNER_KEYS, SUBSCRIPTION_KEYS
from cimcare.hub.config.settings import SETTINGS, Settings, SettingsError, judge_settings, load_settings, read_settings
from cimcare.model.nouns import Role


def test_defaults_are_those_that_the_interfaces_promise() -> None:
    """Scripts and documents rely on them."""
    settings = read_settings("")
    assert settings == Settings()
    assert (settings.host, settings.port, settings.database) == ("127.0.0.1", 8968, "sqlite:///cimcare.db")
    assert settings.hub.repeat_window_days == 7
    assert [settings.systems.source_of(role) for role in Role] == ["CIS", "OMS", "WMS", "THIRD-PARTY"]
    assert settings.limits.limits == Limits()


def test_every_setting_has_its_facts() -> None:
    """The reference page is made of them."""
    names = [setting.name for setting in SETTINGS]
    assert len(names) == len(set(names)) == len({setting.variable for setting in SETTINGS})
    for setting in (*SETTINGS, *PARTNER_KEYS, *SUBSCRIPTION_KEYS):
        assert setting.text.endswith("."), setting
        assert setting.kind != "a value", setting
        if setting.name.endswith(("_seconds", "_bytes", "_days", "_minutes", "_percent")):
            assert setting.unit == setting.name.rpartition("_")[2], setting


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_read_from_file_and_environment(setting: object) -> None:
    """A setting that is described and not read is a lie."""
    assert isinstance(setting, type(SETTINGS[0]))
    default = setting.default
    other: dict[str, object] = {
        "hub.log_level": "debug",
        "console.acts": "never",
        "console.tiles": "https://tiles.example/{z}/{x}/{y}.png",
        "hub.address": "http://hub.example",
        "notices.time_zone": "Europe/Berlin",
        "notices.smtp.security": "tls",
        "notices.sms.url": "http://sms.example/send",
        "notices.sms.template": "{'to': '{to}', 'body': '{text}'}".replace("'", '\\"'),
        "notices.webhook.url": "http://hook.example",
        "notices.webhook.kinds": "sms",
    }
    needed = {"notices.smtp.host": "notices.smtp.sender = 'a@b.example'\n"}.get(setting.name, "")
    value = other.get(
        setting.name,
        not default if isinstance(default, bool) else default + 1 if isinstance(default, int | float) else "other",
    )
    written = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else value
    value = (value,) if isinstance(default, tuple) else value
    expected = read_settings(needed)
    *path, last = setting.name.replace("-", "_").split(".")

    def put(struct: msgspec.Struct, parents: list[str]) -> msgspec.Struct:
        if not parents:
            return msgspec.structs.replace(struct, **{last: value})
        inner = put(getattr(struct, parents[0]), parents[1:])
        return msgspec.structs.replace(struct, **{parents[0]: inner})

    if isinstance(value, str):
        value = value.replace('\\"', '"')
    assert read_settings(f"{needed}{setting.name} = {written}", files=False) == put(expected, path)
    given = ", ".join(value) if isinstance(value, tuple) else str(value)
    assert read_settings(needed, {setting.variable: given}, files=False) == put(expected, path)


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("[notices]\ntime_zone = 'Mars/Olympus'", "SET-118", 2),
        ("[notices.smtp]\nhost = 'mail'", "SET-116", 2),
        ("[notices.smtp]\nhost = 'mail'\nsender = 'a@b.example'\nuser = 'u'", "SET-114", 4),
        ("[notices.sms]\nurl = 'sms'", "SET-107", 2),
        ('[notices.sms]\ntemplate = \'{"to": "{to}"}\'', "SET-118", 2),
        ("[notices.webhook]\nkinds = ['pigeon']", "SET-118", 2),
        ("[notices.webhook]\nsecret_file = '/nowhere'", "SET-113", 2),
    ],
)
def test_notices_that_could_not_be_sent_are_refused_at_the_start(text: str, code: str, line: int) -> None:
    """And not found out by customers who were not told."""
    (mistake,) = judge_settings(text).mistakes
    assert (mistake.finding.code, mistake.finding.line) == (code, line)


def test_all_mistakes_are_found_at_once() -> None:
    """Who mends a file wants to do it in one go; those of the environment come last."""
    text = "[hub]\nlenient = 1\nqueue_limit = 0\n[partners.a]\nurl = 'x'\n"
    environment = {"CIMCARE_PORT": "x", "CIMCARE_SYSTEMS_OMS_URL": "y", "CIMCARE_HUB_ADDRESS": "z"}
    settings, mistakes = judge_settings(text, environment, file="f.toml")
    assert settings is None
    assert [(one.file, one.finding.line, one.finding.path) for one in mistakes] == [
        ("f.toml", 2, "hub.lenient"),
        ("f.toml", 3, "hub.queue_limit"),
        ("f.toml", 5, "partners.a.url"),
        ("environment", None, "CIMCARE_PORT"),
        ("environment", None, "CIMCARE_HUB_ADDRESS"),
        ("environment", None, "CIMCARE_SYSTEMS_OMS_URL"),
    ]
    with pytest.raises(SettingsError) as caught:
        read_settings(text, environment, file="f.toml")
    assert str(caught.value) == mistakes[0].describe()


def test_what_is_never_removed_may_be_known_for_any_time() -> None:
    """Without removal nothing is forgotten, whatever the ages say."""
    text = "hub.repeat_window_days = 100\nretention.every_minutes = 0"
    assert read_settings(text).hub.repeat_window_days == 100


def test_environment_wins_over_file() -> None:
    """A container changes one value without touching the file."""
    assert read_settings("port = 1", {"CIMCARE_PORT": "2", "PORT": "3"}).port == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hots = 'x'", r"f\.toml:1: hots: SET-101 no such setting; perhaps host"),
        ("\n[hub]\nqueue_limt = 3", r"f\.toml:3: hub\.queue_limt: SET-101 no such setting; perhaps hub\.queue_limit"),
        ("[hub]\nport = 3", r"f\.toml:2: hub\.port: SET-101 no such setting; perhaps port"),
        ("[zzz]\nqqq = 3", r"f\.toml:2: zzz\.qqq: SET-101 no such setting; one of host, port"),
        ("hub = 3", r"f\.toml:1: hub: SET-101 no such setting; a table \[hub\]"),
        ("[hbu]\nlenient = true", r"f\.toml:2: hbu\.lenient: SET-101 no such setting; perhaps hub\.lenient"),
        ("[partner.x]\nurl = ''", r"f\.toml:2: partner\.x\.url: SET-101 no such setting; perhaps partners"),
        (
            "[systems.billing]\nurl = ''",
            r"one of the roles cis, oms, wms, third-party, or a table \[partners\.billing\]",
        ),
        ("[systems.third_party]\nsource = 'X'", r"perhaps systems\.third-party, or a table \[partners\.third_party\]"),
        ("systems.oms.source = 'WMS'", r"f\.toml:1: systems\.oms\.source: SET-109 source 'WMS' of oms and of wms"),
        ("systems.wms.source = 'OMS'", r"f\.toml:1: systems\.wms\.source: SET-109 source 'OMS' of oms and of wms"),
        ("hub.address = 'hub:8968'", r"f\.toml:1: hub\.address: SET-107 'hub:8968' is neither http nor https"),
        ("hub.reply_hosts = ['a', 'http://b']", r"f\.toml:1: hub\.reply_hosts: SET-107 'http://b'; the name or number"),
        ("hub.reply_hosts = 3", r"3; a list of texts, or one text that parts them by commas or blanks"),
        ("limits = {max_bytes = {}}", r"f\.toml:1: limits\.max_bytes: SET-101 a table; a whole number from 1024"),
        ("[retention]\nqueries_days = 3", r"f\.toml:2: retention\.queries_days: SET-115 .*of 3 days.*window_days of 7"),
        (
            "[hub]\nrepeat_window_days = 15",
            r"f\.toml:2: hub\.repeat_window_days: SET-115 retention\.queries_days of 14",
        ),
        ("x = " + "[" * 5000 + "]" * 5000, r"f\.toml: /: SET-102 maximum recursion depth"),
        ("port = '8968'", r"f\.toml:1: port: SET-101 '8968'; a whole number from 0 to 65535"),
        ("port = 70000", r"70000; a whole number from 0 to 65535"),
        ("[hub]\n# why\nlenient = 1", r"f\.toml:3: hub\.lenient: SET-101 1; true or false"),
        ("hub.log_level = 'loud'", r"f\.toml:1: hub\.log_level: .*one of \"debug\", \"info\""),
        ("[limits]\nmax_bytes = 1", r"1; a whole number from 1024 \(bytes\)"),
        ("[systems.cis]\nsource = ''", r"f\.toml:2: systems\.cis\.source: SET-101 ''; a text that is not empty"),
        ("[systems.cis]\nsauce = 'x'", r"perhaps systems\.cis\.source"),
        ("port = ", r"f\.toml:?1?: /: SET-102 Invalid value"),
        ("a = 1\na = 2\nb = 3", r"f\.toml:2: /: SET-102 Cannot overwrite a value"),
    ],
)
def test_mistakes_are_named_where_they_stand(text: str, message: str) -> None:
    """File, line, what was found, what would pass, and the nearest name."""
    with pytest.raises(SettingsError, match=message):
        read_settings(text, file="f.toml")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CIMCARE_PRT": "1"}, "environment: CIMCARE_PRT: SET-101 no such setting; perhaps CIMCARE_PORT"),
        ({"CIMCARE_PORT": "tcp://10.0.0.1:80"}, "CIMCARE_PORT: SET-101 'tcp://10.0.0.1:80'; a whole number"),
        ({"CIMCARE_HUB_LENIENT": "maybe"}, "CIMCARE_HUB_LENIENT: SET-101 'maybe'; true or false"),
    ],
)
def test_mistakes_in_the_environment_are_named(environment: dict[str, str], message: str) -> None:
    """A variable that is misspelt and ignored costs an afternoon."""
    with pytest.raises(SettingsError, match=message):
        read_settings("", environment)


def test_file_is_taken_from_the_argument_the_environment_or_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order; and none at all is no error."""
    monkeypatch.chdir(tmp_path)
    assert load_settings().port == 8968
    (tmp_path / "cimcare.toml").write_text("port = 1")
    (tmp_path / "two.toml").write_text("port = 2")
    (tmp_path / "three.toml").write_text("port = 3")
    assert load_settings().port == 1
    environment = {"CIMCARE_CONFIG": "two.toml"}
    assert load_settings(environment=environment).port == 2
    assert load_settings(Path("three.toml"), environment).port == 3


def test_named_file_must_be_there(tmp_path: Path) -> None:
    """A mistyped path must not mean the defaults."""
    with pytest.raises(SettingsError, match=r"none\.toml: /: SET-102 No such file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"host = '\xe4'")
    with pytest.raises(SettingsError, match="not in UTF-8"):
        load_settings(tmp_path / "latin.toml")
