"""Brokers in the file of settings, and partners that are reached by way of them."""

from pathlib import Path

import pytest

from cimcare.exchange.partners import Wire
from cimcare.hub.config.brokers import BROKER_KEYS, broker_keys
from cimcare.hub.config.differences import compare_settings, flat_settings
from cimcare.hub.config.keys import written
from cimcare.hub.config.settings import judge_settings, read_settings
from cimcare.transport.broker import opening
from cimcare.transport.broker.brokers import Broker
from cimcare.transport.broker.opening import Adapter

HUB = '[hub]\ncontext = "TESTING"\n'
MAIN = '[brokers.main]\nurls = ["stomp://b"]\n'
OMS = '[systems.oms]\nkind = "jms"\nbroker = "main"\n'


def read(text: str) -> Broker:
    (broker,) = read_settings(text, files=False).brokers
    return broker


def mistakes_of(text: str, *, files: bool = False) -> list[str]:
    return [mistake.describe() for mistake in judge_settings(text, file="f.toml", files=files).mistakes]


def test_a_broker_with_an_address_is_enough() -> None:
    """The scheme of the standard's text, below the context of the hub."""
    broker = read(HUB + MAIN)
    assert [str(each) for each in broker.listen] == ["jms:queue:TESTING.REQUESTS.>", "jms:topic:TESTING.EVENTS.>"]
    assert str(broker.replies) == "jms:queue:TESTING.REPLIES.cimcare"
    assert [str(each) for each in broker.consumed][2:] == ["jms:queue:TESTING.REPLIES.cimcare"]
    assert [str(each) for each in broker.addresses] == ["stomp://b:61613"]


def test_over_amqp_each_queue_is_named() -> None:
    """These brokers have no patterns over queues."""
    broker = read(HUB + '[brokers.main]\nurls = ["amqp://b"]\n')
    names = {each.destination.name for each in broker.listen}
    assert {"TESTING.REQUESTS.TroubleTickets.create", "TESTING.REQUESTS.OperationSet.execute"} <= names
    assert not [each for each in broker.listen if each.destination.kind == "queue" and each.destination.is_pattern]
    assert "TESTING.EVENTS.>" in names


def test_what_a_hub_listens_to_can_be_named() -> None:
    """Brokers have had their own schemes for decades."""
    keys = 'listen = ["queue:IN.*", "topic:{context}.NEWS.{noun}.{verb}"]\nreplies = "queue:IN.back"\ncontext = "X"\n'
    broker = read(MAIN + keys)
    assert str(broker.listen[0]) == "jms:queue:IN.*"
    assert "jms:topic:X.NEWS.Incidents.changed" in [str(each) for each in broker.listen]
    assert broker.consumed == broker.listen  # which has the replies among what it matches


def test_a_hub_may_only_send() -> None:
    """It consumes nothing but what it has asked for."""
    broker = read(HUB + MAIN + 'listen = "none"\n')
    assert broker.listen == ()
    assert broker_keys(broker)["listen"] == ("none",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HUB + "[brokers.main]\n", "f.toml:3: brokers.main: SET-116 no urls"),
        (HUB + '[brokers.main]\nurls = ["http://b"]', "f.toml:4: brokers.main.urls: SET-130 http; stomp://"),
        (HUB + '[brokers.main]\nurls = ["stomp://u:p@b"]', "SET-130 user or password in the address"),
        (MAIN, "f.toml:1: brokers.main: SET-116 neither context here nor hub.context"),
        (HUB + MAIN + "prefetch = 0", "brokers.main.prefetch: SET-101 0; a whole number from 1 to 10000"),
        (HUB + MAIN + "url = 'x'", "brokers.main.url: SET-101 no such setting; perhaps brokers.main.urls"),
        (HUB + MAIN + "key_file = 'k'", "brokers.main.key_file: SET-114 without certificate_file"),
        (HUB + MAIN + "password_file = 'k'", "brokers.main.password_file: SET-114 without user"),
        (HUB + MAIN + "reconnect_most_seconds = 0.1", "SET-114 longest pause 0.1 below the first, 0.5"),
        (HUB + MAIN + "listen = ['A.B']", "f.toml:5: brokers.main.listen: SET-133 'A.B'; queue:NAME or topic:NAME"),
        (HUB + MAIN + "replies = 'queue:A.>'", "brokers.main.replies: SET-133 'queue:A.>'"),
        (HUB + MAIN + "listen = ['queue:A WHERE']", "brokers.main.listen: SET-133"),
        (HUB + MAIN + """listen = ["queue:A WHERE Noun = 'a"]""", "brokers.main.listen: SET-133"),
        (HUB + MAIN + """listen = ["queue:A WHERE (Noun = 'a'"]""", "brokers.main.listen: SET-133"),
        (HUB + MAIN + """listen = ["queue:A WHERE Noun = 'a'", "queue:A"]""", "brokers.main.listen: SET-133"),
        (
            HUB + """[brokers.main]\nurls = ["amqp://b"]\nlisten = ["queue:A WHERE Noun = 'a'"]""",
            "AMQP 0-9-1, which has no selectors",
        ),
        (HUB + "[brokers]\nmain = 1\n", "brokers.main: SET-101 1; a table [brokers.main]"),
        (HUB + "brokers = 1\n", "no such setting"),
        (HUB + '[brokers."a b"]\nurls = ["stomp://b"]\n', "SET-106 name 'a b'"),
        (HUB + MAIN + OMS.replace("broker = ", "# "), "systems.oms: SET-116 no broker; broker = one of main"),
        (HUB + OMS, "systems.oms.broker: SET-132 broker 'main'; a table [brokers.main]"),
        (HUB + MAIN + OMS.replace('"main"', '"mian"'), "systems.oms.broker: SET-132 broker 'mian'; perhaps main"),
        (HUB + MAIN + OMS, "SET-133 requests to jms:queue:TESTING.REQUESTS.{noun}.{verb}, which the hub itself"),
        (HUB + MAIN + OMS + 'destination = "queue:A B"', "systems.oms.destination: SET-133 'queue:A B'"),
        (HUB + MAIN + OMS + 'destination = "queue:O"\nurl = "http://o"', 'systems.oms.url: SET-114 with kind "jms"'),
        (HUB + MAIN + OMS + 'destination = "queue:O"\nformat = "json"', 'systems.oms.format: SET-114 with kind "jms"'),
        ("[partners.a]\nurl = 'http://a'\nbroker = 'main'", 'partners.a.broker: SET-114 with kind "soap"'),
        ("[partners.a]\nurl = 'http://a'\ndestination = 'queue:A'", "partners.a.destination: SET-114"),
    ],
)
def test_a_mistake_is_told_where_it_stands(text: str, told: str) -> None:
    """With file, line and what would pass, as all others."""
    told_of = mistakes_of(text)
    assert [one for one in told_of if told in one], told_of


def test_a_partner_behind_a_broker_has_a_destination() -> None:
    """The scheme of the standard's text if nothing else is said."""
    text = HUB + MAIN + OMS + 'destination = "queue:OMS.{context}.{noun}.{verb}"\nreplies = "later"\n'
    text += '[partners.gis]\nkind = "jms"\nbroker = "main"\n'
    text += '[subscriptions.app]\nkind = "jms"\nbroker = "main"\ndestination = "topic:APP"\n'
    oms, gis, app = read_settings(text, files=False).partners
    assert (oms.wire, oms.url, oms.event_url) == (Wire.JMS, "jms:queue:OMS.TESTING.{noun}.{verb}", "")
    assert oms.reply_to == "jms:queue:TESTING.REPLIES.cimcare"
    assert (gis.url, gis.reply_to) == ("jms:topic:TESTING.EVENTS.{noun}.{verb}", "")
    assert app.url == "jms:topic:APP"


def test_an_owner_gets_events_by_topic_and_requests_by_queue() -> None:
    """What everybody may hear, and what one serves."""
    text = HUB + MAIN + 'listen = "none"\n' + OMS
    (oms,) = read_settings(text, files=False).partners
    assert oms.url == "jms:queue:TESTING.REQUESTS.{noun}.{verb}"
    assert oms.event_url == "jms:topic:TESTING.EVENTS.{noun}.{verb}"
    (oms,) = read_settings(text + 'destination = "queue:O"\nevent_destination = "topic:E"\n', files=False).partners
    assert (oms.url, oms.event_url) == ("jms:queue:O", "jms:topic:E")


def test_a_broker_can_be_told_as_the_keys_it_came_from() -> None:
    """What is shown can be pasted."""
    broker = read(HUB + MAIN + 'client_id = "hub-7"\nuser = "u"\npassword_file = "/p"\nexpires = false\n')
    told = broker_keys(broker)
    assert list(told) == [key.name for key in BROKER_KEYS]
    table = "".join(f"{name} = {written(value)}\n" for name, value in told.items())
    assert read(f"[brokers.main]\n{table}") == broker


def test_a_change_of_a_broker_is_for_the_next_start() -> None:
    """A connection is not remade under the feet of what is on its way."""
    before, after = (flat_settings(read_settings(HUB + text, files=False)) for text in (MAIN, MAIN + "prefetch = 7\n"))
    (change,) = compare_settings(before, after)
    assert change.key == "brokers.main"
    assert "prefetch = 7" in change.after
    (gone,) = compare_settings(before, flat_settings(read_settings(HUB)))
    assert (gone.key, gone.after) == ("brokers.main", "")


def test_a_library_that_is_missing_is_told_at_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not in the night in which the hub is started anew."""
    monkeypatch.setitem(opening.ADAPTERS, "stomp", Adapter("cimcare.no_such_module", "aiormq", "rabbitmq"))
    (told,) = mistakes_of(HUB + MAIN, files=True)
    assert "f.toml:4: brokers.main.urls: SET-131" in told
    assert "pip install 'cimcare[rabbitmq]'" in told
    assert not mistakes_of(HUB + MAIN, files=False)


def test_files_of_a_broker_are_opened_at_the_check(tmp_path: Path) -> None:
    """A password that cannot be read would be told by the broker as a wrong one."""
    text = HUB + MAIN + f'user = "u"\npassword_file = "{tmp_path / "none"}"\nca_file = "{tmp_path / "ca"}"\n'
    told = mistakes_of(text, files=True)
    assert [one for one in told if "brokers.main.password_file: SET-113" in one]
    assert [one for one in told if "brokers.main.ca_file: SET-113" in one]
