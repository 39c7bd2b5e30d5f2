"""How a program uses the library; checked by mypy in strict mode, and run."""

import asyncio
from datetime import UTC, datetime

from cimcare.client import Answer, FaultReceivedError, NoAnswerError, Peer
from cimcare.codec.envelope import parse_message, render_message
from cimcare.codec.json_body import parse_json, render_json
from cimcare.errors import ERRORS, Finding, InputError
from cimcare.model.envelope import AnyMessage, Header, Payload, RequestMessage, Result
from cimcare.model.identity import MRID, MessageID
from cimcare.model.incident import IncidentHazard
from cimcare.model.nouns import Noun
from cimcare.model.trouble_ticket import TroubleTicket, TroubleTickets
from cimcare.model.verbs import Verb
from cimcare.rules import check_rules
from cimcare.schema import Catalog
from cimcare.validation import Judgement, judge


def build_ticket(number: int, reported_at: datetime) -> RequestMessage:
    """A request that creates a ticket."""
    ticket = TroubleTicket(
        mrid=MRID(f"00000000-0000-4000-8000-{number:012}"),
        date_time_of_report=reported_at,
        hazards=(IncidentHazard(type="wire down"),),
    )
    return RequestMessage(
        header=Header(
            verb=Verb.CREATE, noun=Noun.TROUBLE_TICKETS, source="EXAMPLE", message_id=MessageID(f"example-{number}")
        ),
        payload=Payload(content=(TroubleTickets(trouble_ticket=(ticket,)),)),
    )


def reread(message: AnyMessage) -> tuple[AnyMessage, AnyMessage]:
    """The message by way of XML and of JSON."""
    return parse_message(render_message(message)), parse_json(render_json(message))


def complain(raw: bytes) -> tuple[str, ...]:
    """What is wrong with a document, a line each."""
    judgement: Judgement = judge(raw, Catalog())
    findings: tuple[Finding, ...] = judgement.findings
    return tuple(f"{ERRORS[finding.code].title}: {finding.describe('file')}" for finding in findings)


async def send(address: str, message: RequestMessage) -> tuple[str, ...]:
    """Identifiers that the peer gave, empty if it did nothing."""
    async with Peer(address, timeout_seconds=5) as peer:
        try:
            client = await peer.soap("RequestTroubleTickets")
            answer: Answer = await client.send(message)
        except (FaultReceivedError, NoAnswerError) as error:
            return (error.row.code,)
    if answer.message is None or answer.message.reply.result is not Result.OK:
        return ()
    return tuple(identifier.value for identifier in answer.message.reply.id)


def main() -> None:
    """Build, check, write, read, judge, send to nobody."""
    message = build_ticket(1, datetime(2026, 5, 4, 9, 30, tzinfo=UTC))
    assert check_rules(message) == ()
    assert reread(message) == (message, message)
    assert complain(render_message(message)) == ()
    assert complain(b"<a") != ()
    try:
        parse_message(b"<a/>")
    except InputError as error:
        assert error.finding.code == "ENV-101"
    assert asyncio.run(send("http://127.0.0.1:1", message)) == ("NET-105",)


if __name__ == "__main__":
    main()
