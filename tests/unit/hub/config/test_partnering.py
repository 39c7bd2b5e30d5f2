"""Tables of partners and subscriptions: what they become, and each mistake where it stands."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cimcare.exchange.partners import Edition, Forward, Partner, Replies, Retry, Tls, Wire
from cimcare.exchange.subscriptions import Filter, Subscription
from cimcare.hub.config.differences import partner_keys, subscription_keys
from cimcare.hub.config.keys import Plain, written
from cimcare.hub.config.partner_keys import PARTNER_KEYS, SUBSCRIPTION_KEYS
from cimcare.hub.config.settings import SettingsError, judge_settings, read_settings
from cimcare.model.nouns import NOUNS, Noun, Role

TLS = Path(__file__).parents[3] / "support/tls"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

WHOLE = """
hub.address = "https://hub.example:8968"
[partners.billing]
kind = "soap"
url = "https://billing.example/messages?a=b"
source = "BILLING"
owns = ["CustomerAgreements", "WorkRequests"]
soap_version = "1.2"
format = "xml"
edition = "2013-draft"
compress_above_bytes = 1048576
forward = "queue"
replies = "later"
deadline_seconds = 12.5
reply_seconds = 60
parallel = 2
rate_per_second = 1.5
retry_first_seconds = 0.5
retry_factor = 3
retry_most_seconds = 30
retry_jitter = 0
retry_hours = 1
retry_attempts = 7
[subscriptions.gis]
partner = "billing"
verbs = ["created", "changed"]
nouns = ["Incidents", "OperationSet"]
premises = ["p 1"]
areas = ["North"]
sources = ["OMS"]
properties = { Region = "North" }
"""


def mistakes_of(text: str, environment: dict[str, str] | None = None) -> list[str]:
    return [mistake.describe() for mistake in judge_settings(text, environment, file="f.toml").mistakes]


def test_one_line_makes_a_role_remote() -> None:
    """The promise of the product: point one line at a real system."""
    settings = read_settings('systems.oms.url = "https://oms.example/soap"')
    (partner,) = settings.partners
    assert partner == Partner(
        name="oms",
        url="https://oms.example/soap",
        source="OMS",
        role=Role.OMS,
        owns=(Noun.TROUBLE_TICKETS, Noun.INCIDENTS),
    )


@pytest.mark.parametrize("role", Role)
def test_every_role_may_be_remote_by_the_environment_too(role: Role) -> None:
    """Containers are told by it, and the file wins nothing over it."""
    prefix = f"CIMCARE_SYSTEMS_{role.name}"
    environment = {f"{prefix}_URL": "http://real.example", f"{prefix}_SOURCE": "REAL", f"{prefix}_PARALLEL": "9"}
    settings = read_settings(f"[systems.{role}]\nurl = 'http://other.example'\nparallel = 2", environment)
    (partner,) = settings.partners
    assert (partner.name, partner.role, partner.source) == (role.value, role, "REAL")
    assert (partner.url, partner.parallel) == ("http://real.example", 9)
    assert settings.systems.source_of(role) == "REAL"
    assert partner.owns == tuple(entry.noun for entry in NOUNS.values() if entry.owner is role)


def test_an_empty_address_leaves_a_role_built_in() -> None:
    """So that the environment can take back what the file says."""
    text = "[systems.oms]\nurl = 'http://oms.example'"
    assert read_settings(text, {"CIMCARE_SYSTEMS_OMS_URL": ""}).partners == ()


def test_a_whole_table_becomes_a_partner() -> None:
    """Each key counts, in its unit."""
    settings = read_settings(WHOLE)
    assert settings.partners == (
        Partner(
            name="billing",
            wire=Wire.SOAP,
            url="https://billing.example/messages?a=b",
            source="BILLING",
            owns=(Noun.CUSTOMER_AGREEMENTS, Noun.WORK_REQUESTS),
            edition=Edition.E2013_DRAFT,
            soap_12=True,
            compress_above_bytes=1048576,
            forward=Forward.QUEUE,
            replies=Replies.LATER,
            deadline=timedelta(seconds=12.5),
            reply_within=timedelta(minutes=1),
            parallel=2,
            rate=1.5,
            retry=Retry(
                first=timedelta(seconds=0.5),
                factor=3,
                most=timedelta(seconds=30),
                jitter=0,
                patience=timedelta(hours=1),
                attempts=7,
            ),
        ),
    )
    assert settings.subscriptions == (
        Subscription(
            name="gis",
            partner="billing",
            filter=Filter(
                verbs=("created", "changed"),
                nouns=("Incidents", "OperationSet"),
                premises=("p 1",),
                areas=("North",),
                sources=("OMS",),
                properties={"Region": "North"},
            ),
        ),
    )


def test_values_can_be_told_as_the_keys_they_came_from() -> None:
    """A difference between two configurations is told in the words of the file."""
    settings = read_settings(WHOLE)
    told = partner_keys(settings.partners[0])
    assert list(told) and set(told) == {key.name for key in PARTNER_KEYS}
    table = "".join(f"{name} = {written(value)}\n" for name, value in told.items())
    wanted = subscription_keys(settings.subscriptions[0])
    assert set(wanted) == {key.name for key in SUBSCRIPTION_KEYS}
    filters = "".join(f"{name} = {written(value)}\n" for name, value in wanted.items())
    text = f'hub.address = "http://h"\n[partners.billing]\n{table}[subscriptions.gis]\n{filters}'
    again = read_settings(text)
    assert (again.partners, again.subscriptions) == (settings.partners, settings.subscriptions)


SECONDS = st.floats(min_value=0.2, max_value=3600, allow_nan=False)
KEYS = st.fixed_dictionaries(
    {"url": st.sampled_from(["https://a", "http://a.example:1/x?y=z%20", "https://[::1]:8443"])},
    optional={
        "kind": st.sampled_from(["soap", "soap-typed", "rest"]),
        "source": st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1),
        "owns": st.lists(st.sampled_from([noun.value for noun in Noun]), unique=True).map(tuple),
        "edition": st.sampled_from(["2013", "2013-draft"]),
        "compress_above_bytes": st.integers(0, 2**40),
        "deadline_seconds": SECONDS,
        "parallel": st.integers(1, 1000),
        "rate_per_second": st.floats(0, 1e6),
        "retry_first_seconds": st.floats(0.01, 300),
        "retry_factor": st.floats(1, 100),
        "retry_most_seconds": st.floats(300, 86400),
        "retry_jitter": st.floats(0, 1),
        "retry_hours": st.floats(0, 8784),
        "retry_attempts": st.integers(1, 1_000_000),
    },
)


@given(KEYS)
def test_any_partner_is_the_same_when_it_is_written_and_read_again(keys: dict[str, Plain]) -> None:
    """Or a plan would show differences for ever."""

    def read(given: dict[str, Plain]) -> Partner:
        table = "".join(f"{name} = {written(value)}\n" for name, value in given.items())
        settings, mistakes = judge_settings(f"[partners.a]\n{table}")
        assert settings is not None, mistakes
        return settings.partners[0]

    partner = read(keys)
    again = {name: value for name, value in partner_keys(partner).items() if name in keys}
    assert read(again) == partner


def test_defaults_are_those_of_the_values() -> None:
    """One truth: what the reference page says of a key is what a partner made in a program has."""
    (partner,) = read_settings("[partners.a]\nurl = 'http://a.example'").partners
    assert partner == Partner(name="a", url="http://a.example", source="a")


def test_a_subscription_may_have_a_destination_of_its_own() -> None:
    """Who only listens needs no second table."""
    settings = read_settings(
        "[subscriptions.app]\nkind = 'webhook'\nurl = 'https://app.example/hook'\nformat = 'json'\n"
        "nouns = ['Incidents']\n"
        "[subscriptions.more]\npartner = 'app'"
    )
    assert settings.partners == (
        Partner(name="app", wire=Wire.WEBHOOK, url="https://app.example/hook", source="app", as_json=True),
    )
    assert [(one.name, one.partner) for one in settings.subscriptions] == [("app", "app"), ("more", "app")]


def test_who_is_named_as_owner_takes_the_noun_from_a_role() -> None:
    """A real CIS and a real billing system beside it: no need to list what remains."""
    text = "[systems.cis]\nurl='http://c'\n[systems.wms]\nurl='http://w'\n"
    text += "[partners.billing]\nurl='http://b'\nowns=['CustomerAgreements', 'WorkRequests']\n"
    owns = {partner.name: partner.owns for partner in read_settings(text).partners}
    assert owns == {
        "cis": (),
        "wms": (Noun.SERVICE_REQUESTS, Noun.SERVICE_ORDERS),
        "billing": (Noun.CUSTOMER_AGREEMENTS, Noun.WORK_REQUESTS),
    }


def test_a_role_may_own_more_than_its_own() -> None:
    """An OMS that also plans the work."""
    (oms,) = read_settings("[systems.oms]\nurl='http://o'\nowns=['TroubleTickets','Incidents','WorkRequests']").partners
    assert oms.owns == (Noun.TROUBLE_TICKETS, Noun.INCIDENTS, Noun.WORK_REQUESTS)


A = "[partners.a]\nurl = 'http://a'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[partners.a]\nulr = 'x'\nurl = 'http://a'",
            "f.toml:2: partners.a.ulr: SET-101 no such setting; perhaps partners.a.url",
        ),
        (
            "[partners.a]\nqqqq = 1\nurl = 'http://a'",
            "f.toml:2: partners.a.qqqq: SET-101 no such setting; one of kind, url,",
        ),
        ("[systems.oms]\nulr = 'x'", "f.toml:2: systems.oms.ulr: SET-101 no such setting; perhaps systems.oms.url"),
        ("partners = 3", "f.toml:1: partners: SET-101 3; tables [partners.<name>]"),
        ("partners.a = 3", "f.toml:1: partners.a: SET-101 3; a table [partners.a]"),
        ("subscriptions.a = []", "f.toml:1: subscriptions.a: SET-101 []; a table [subscriptions.a]"),
        ("systems.oms = 'http://x'", "f.toml:1: systems.oms: SET-101 no such setting; a table [systems.oms]"),
        ("[partners.a]", "f.toml:1: partners.a: SET-116 no url; url: an address such as"),
        (
            "[systems.oms]\nkind = 'rest'",
            "without name, password and fragment; a role is built in while it has no address",
        ),
        ("[partners.a]\nurl = ''", "f.toml:2: partners.a.url: SET-107 '' is neither http nor https"),
        ("[partners.a]\nurl = 3", "f.toml:2: partners.a.url: SET-101 3; a text; Address of"),
        ("[partners.a]\nurl = 'ftp://a'", "f.toml:2: partners.a.url: SET-107 'ftp://a' is neither http nor https"),
        ("[partners.a]\nurl = 'https:///x'", "SET-107 'https:///x' has no host"),
        ("[partners.a]\nurl = 'https://a:0'", "SET-107 'https://a:0' has port 0"),
        ("[partners.a]\nurl = 'https://a:x'", "SET-107 'https://a:x' cannot be read"),
        ("[partners.a]\nurl = 'https://[a'", "SET-107 'https://[a' cannot be read"),
        ("[partners.a]\nurl = 'https://a#b'", "SET-107 'https://a#b' has a fragment"),
        ("[partners.a]\nurl = 'https://a?secret@#b'", "SET-107 it has a fragment"),
        ("[partners.a]\nurl = 'htp://a?secret'", "SET-107 'htp://a?...' is neither http nor https"),
        ("[systems.oms]\nurl = 'http://o'\n[partners.oms]\nurl = 'x'\n", "f.toml:3: partners.oms: SET-106 name 'oms'"),
        (
            "[systems.oms]\nurl = 'http://o'\nsource = 'X'\n[systems.wms]\nurl = 'http://w'\nsource = 'X'",
            "f.toml:6: systems.wms.source: SET-109 source 'X' of oms and of wms",
        ),
        ("[partners.a]\nurl = 'https://a b'", "SET-107 'https://a b' has characters"),
        (
            "[partners.a]\nurl = 'https://me:secret@a'",
            "f.toml:2: partners.a.url: SET-107 it has a name or password; an address",
        ),
        (
            "[partners.a]\nurl = 'htps://me:secret@a'",
            "f.toml:2: partners.a.url: SET-107 it is neither http nor https; an address",
        ),
        (
            "[partners.'a b']\nurl = 'http://a'",
            "f.toml:1: partners.\"a b\": SET-106 name 'a b'; 1 to 64 letters, digits, - and _",
        ),
        (
            "[partners.oms]\nurl = 'http://a'",
            "f.toml:1: partners.oms: SET-106 name 'oms'; [systems.oms], or another name",
        ),
        ("[partners.reply]\nurl = 'http://a'", "f.toml:1: partners.reply: SET-106 name 'reply'; another name"),
        (
            "[subscriptions.cis]\nurl = 'http://a'",
            "f.toml:1: subscriptions.cis: SET-106 name 'cis'; [systems.cis], or another name",
        ),
        (
            A + "[subscriptions.a]\nurl = 'http://a'",
            "f.toml:3: subscriptions.a: SET-106 a destination named a, as the partner at f.toml:1",
        ),
        (
            A + "edition = '2022'",
            'f.toml:3: partners.a.edition: SET-112 \'2022\'; one of "2013", "2013-draft"; what is publicly known',
        ),
        (A + "edition = 2013", 'f.toml:3: partners.a.edition: SET-101 2013; one of "2013", "2013-draft"'),
        (
            A + "kind = 'mq'",
            'f.toml:3: partners.a.kind: SET-101 \'mq\'; one of "soap", "soap-typed", "rest", "webhook", "jms"',
        ),
        (A + "retry_factor = 0.9", "f.toml:3: partners.a.retry_factor: SET-101 0.9; a number from 1 to 100"),
        (A + "retry_jitter = 1.1", "f.toml:3: partners.a.retry_jitter: SET-101 1.1; a number from 0 to 1"),
        (A + "deadline_seconds = nan", "SET-101 nan; a number from 0.1 to 3600 (seconds)"),
        (A + "retry_hours = inf", "SET-101 inf; a number from 0 to 8784 (hours)"),
        (A + "owns = 'Incidents'", "f.toml:3: partners.a.owns: SET-101 'Incidents'; a list of texts"),
        (A + "owns = ['Incident']", "f.toml:3: partners.a.owns: SET-111 noun 'Incident'; perhaps Incidents"),
        (A + "owns = ['IncidentInformation']", "SET-111 noun 'IncidentInformation'; perhaps Incidents"),
        (A + "owns = ['OperationSet']", "SET-111 noun 'OperationSet'; one of TroubleTickets,"),
        (
            A + "kind = 'soap-typed'\nformat = 'json'",
            'f.toml:4: partners.a.format: SET-114 "json" with kind "soap-typed"',
        ),
        (
            A + "format = 'json'",
            'f.toml:3: partners.a.format: SET-114 "json" with kind "soap"; format = "xml", or kind = "rest"',
        ),
        (A + "kind = 'rest'\nsoap_version = '1.1'", 'f.toml:4: partners.a.soap_version: SET-114 with kind "rest"'),
        (
            A + "kind = 'webhook'\nowns = ['Incidents']",
            'f.toml:4: partners.a.owns: SET-114 kind "webhook" that owns Incidents',
        ),
        (
            "[systems.oms]\nurl = 'http://a'\nkind = 'webhook'",
            'f.toml:3: systems.oms.kind: SET-114 kind "webhook" that owns TroubleTickets, Incidents',
        ),
        (
            A + "third_party = true\nowns = ['Incidents']",
            "f.toml:4: partners.a.owns: SET-114 a third party that owns Incidents",
        ),
        (
            A + "owns = ['Incidents']\nreplies = 'later'",
            'f.toml:4: partners.a.replies: SET-114 "later" without hub.address',
        ),
        (
            A + "forward = 'queue'",
            "f.toml:3: partners.a.forward: SET-114 without nouns that a owns; owns, or no forward",
        ),
        (
            A + "retry_most_seconds = 0.5",
            "f.toml:3: partners.a.retry_most_seconds: SET-114 longest pause 0.5 below the first, 1",
        ),
        (
            A + "retry_first_seconds = 600",
            "partners.a.retry_first_seconds: SET-114 longest pause 300.0 below the first, 600.0",
        ),
        (A + "ca_file = 'x'", "f.toml:3: partners.a.ca_file: SET-114 with an address of http; an https address"),
        (
            A + "secret_file = 'x'",
            'f.toml:3: partners.a.secret_file: SET-114 with kind "soap"; no secret_file, or kind = "webhook"',
        ),
        (
            "[partners.a]\nurl = 'https://a'\nkey_file = 'x'",
            "f.toml:3: partners.a.key_file: SET-114 without certificate_file",
        ),
        (
            A + "[partners.b]\nurl = 'http://b'\nsource = 'a'",
            "f.toml:5: partners.b.source: SET-109 source 'a', which is that of a",
        ),
        (
            A + "source = 'WMS'",
            "f.toml:3: partners.a.source: SET-109 source 'WMS', which is that of the built-in system wms",
        ),
        (
            "[systems.wms]\nurl = 'http://w'\n" + A + "source = 'WMS'",
            "f.toml:5: partners.a.source: SET-109 source 'WMS', which is that of wms",
        ),
        (
            A + "owns = ['Incidents']\n[partners.b]\nurl = 'http://b'\nowns = ['Incidents']",
            "f.toml:6: partners.b.owns: SET-108 Incidents, which a owns; one owner",
        ),
        (
            "[systems.oms]\nurl = 'http://o'\nowns = ['Incidents']",
            "f.toml:3: systems.oms.owns: SET-108 no owner of TroubleTickets; the noun here",
        ),
        (A + "[subscriptions.s]\npartner = 'aa'", "f.toml:4: subscriptions.s.partner: SET-110 partner 'aa'; perhaps a"),
        (A + "[subscriptions.s]\npartner = 'xyz'", "SET-110 partner 'xyz'; a table [partners.xyz], or one of a"),
        ("[subscriptions.s]\npartner = 'xyz'", "SET-110 partner 'xyz'; a table [partners.xyz]"),
        (
            "[subscriptions.s]\npartner = 'oms'",
            "SET-110 partner 'oms'; url in [systems.oms], or no subscription; the system oms is built in",
        ),
        ("[subscriptions.s]\nnouns = []", "f.toml:1: subscriptions.s: SET-116 neither partner nor url"),
        (
            A + "[subscriptions.s]\npartner = 'a'\nurl = 'http://b'",
            "f.toml:5: subscriptions.s.url: SET-114 beside partner",
        ),
        (A + "[subscriptions.s]\npartner = 3", "f.toml:4: subscriptions.s.partner: SET-101 3; a text"),
        ("[subscriptions.s]\nurl = 'http://b'\nowns = []", "f.toml:3: subscriptions.s.owns: SET-101 no such setting"),
        (
            A + "[subscriptions.s]\npartner = 'a'\nverbs = ['create']",
            "f.toml:5: subscriptions.s.verbs: SET-111 verb 'create'; perhaps created; subscriptions are for events",
        ),
        (A + "[subscriptions.s]\npartner = 'a'\nverbs = ['cancelled']", "SET-111 verb 'cancelled'; perhaps canceled"),
        (
            A + "[subscriptions.s]\npartner = 'a'\nverbs = ['get']",
            "SET-111 verb 'get'; one of canceled, changed, closed, created, deleted, executed",
        ),
        (A + "[subscriptions.s]\npartner = 'a'\nnouns = ['Meters']", "SET-111 noun 'Meters'; one of TroubleTickets,"),
        (
            A + "[subscriptions.s]\npartner = 'a'\nproperties = { a = 1 }",
            "f.toml:5: subscriptions.s.properties: SET-101 a table; a table of texts",
        ),
    ],
)
def test_a_mistake_is_told_once_where_it_stands(text: str, message: str) -> None:
    """One mistake, one line, with what would pass; nothing that follows from it alone."""
    (told,) = mistakes_of(text)
    assert message in told
    assert "secret" not in told or "secret_file" in told


def test_a_mistake_in_the_environment_is_told_by_its_variable() -> None:
    """There is no line to point at."""
    assert mistakes_of("", {"CIMCARE_SYSTEMS_OMS_URL": "http://o", "CIMCARE_SYSTEMS_OMS_PARALLEL": "x"}) == [
        "environment: CIMCARE_SYSTEMS_OMS_PARALLEL: SET-101 'x'; a whole number from 1 to 1000;"
        " Most deliveries to it under way at once."
    ]
    (told,) = mistakes_of("", {"CIMCARE_SYSTEMS_OMS_ULR": "http://o"})
    assert told.endswith("SET-101 no such setting; perhaps CIMCARE_SYSTEMS_OMS_URL")


def test_nouns_in_the_environment_are_one_text() -> None:
    """A variable holds no list."""
    environment = {"CIMCARE_SYSTEMS_WMS_URL": "http://w", "CIMCARE_SYSTEMS_OMS_URL": "http://o"}
    environment["CIMCARE_SYSTEMS_WMS_OWNS"] = "ServiceRequests, ServiceOrders WorkRequests,CustomerAgreements"
    wms = read_settings("", environment).partners[1]
    assert wms.owns == (
        Noun.SERVICE_REQUESTS,
        Noun.SERVICE_ORDERS,
        Noun.WORK_REQUESTS,
        Noun.CUSTOMER_AGREEMENTS,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for file in TLS.glob("*.pem"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "good.key").write_text(f"# since June\n{KEY}\n")
    (tmp_path / "short.key").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=\n")
    (tmp_path / "other.key").write_text("only words\n")
    (tmp_path / "binary.key").write_bytes(b"\xff" * 32)
    return tmp_path


def test_files_that_can_be_used_are_known_from_any_folder(folder: Path) -> None:
    """Another process of the hub runs elsewhere."""
    text = "[partners.a]\nurl='https://a'\nca_file='ca.pem'\ncertificate_file='client.pem'\nkey_file='client.pem'\n"
    text += "[partners.b]\nkind='webhook'\nurl='https://b'\nsecret_file='good.key'\ncertificate_file='client.pem'"
    a, b = read_settings(text).partners
    assert a.tls == Tls(
        ca_file=f"{folder}/ca.pem", certificate_file=f"{folder}/client.pem", key_file=f"{folder}/client.pem"
    )
    assert (b.secret_file, b.tls.certificate_file) == (f"{folder}/good.key", f"{folder}/client.pem")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("ca_file='none.pem'", "partners.a.ca_file: SET-113 {}/none.pem (No such file or directory)"),
        ("ca_file='good.key'", "partners.a.ca_file: SET-113 {}/good.key ("),
        ("certificate_file='none.pem'", "partners.a.certificate_file: SET-113 {}/none.pem (No such file"),
        ("certificate_file='ca.pem'", "partners.a.certificate_file: SET-113 {}/ca.pem ("),
        (
            "certificate_file='ca.pem'\nkey_file='server.pem'",
            "SET-113 {0}/ca.pem and {0}/server.pem ([X509: KEY_VALUES_MISMATCH] key values mismatch)",
        ),
        ("certificate_file='locked.pem'", "SET-113 {}/locked.pem (the key has a password); a certificate in PEM,"),
        ('ca_file="\\u0000"', "partners.a.ca_file: SET-113 {}/\0 (embedded null byte)"),
        ("kind='webhook'\nsecret_file='none.key'", "partners.a.secret_file: SET-113 {}/none.key (No such file"),
        (
            "kind='webhook'\nsecret_file='short.key'",
            "SET-113 {}/short.key (line 1 is no key; a key is base64 of 24 bytes",
        ),
        (
            "kind='webhook'\nsecret_file='other.key'",
            "SET-113 {}/other.key (line 1 is no key; a key is base64 of 24 bytes",
        ),
        (
            "kind='webhook'\nsecret_file='binary.key'",
            "SET-113 {}/binary.key (not in UTF-8); a file with keys, one a line",
        ),
        ("kind='webhook'\nsecret_file='.'", "partners.a.secret_file: SET-113 {} (Is a directory)"),
    ],
)
def test_files_that_cannot_be_used_are_found_before_the_first_delivery(folder: Path, keys: str, told: str) -> None:
    """Not at three in the morning."""
    text = f"[partners.a]\nurl = 'https://a'\n{keys}\n"
    (found,) = mistakes_of(text)
    assert told.format(folder) in found
    assert read_settings(text, files=False).partners[0].name == "a"


def test_reading_raises_the_first_mistake(folder: Path) -> None:
    """As for any other setting."""
    with pytest.raises(SettingsError, match=r"f\.toml:2: partners\.a\.url: SET-107"):
        read_settings("[partners.a]\nurl = 'x'\nca_file = 'y'", file="f.toml")
