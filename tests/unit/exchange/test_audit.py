"""Hashes of the audit trail: the same in every release."""

from cimcare.exchange.audit import hash_of_message
from cimcare.exchange.log import Outcome
from tests.support.stored import an_entry


def test_the_hash_of_a_message_stays_what_it_was() -> None:
    """A release that hashed otherwise would call every trail forged that is there."""
    entry = an_entry(
        sequence=123456,
        partner="CIS",
        archetype="RequestMessage",
        verb="create",
        noun="TroubleTickets",
        message_id="7e0f9d9c-0c4d-4ad2-b0a0-1e0d3a4f0000",
        outcome=Outcome.PARTIAL,
        codes=("REF-105", "0.2"),
        answer_to=3,
        digest=b"x" * 32,
        content_type="application/xml",
        size_bytes=4,
        status=200,
    )
    expected = "282a175eb8d9c6d276731fe40f84504efefdfb780e68526c5309bbc3b6852046"
    assert hash_of_message(entry, b"<m/>") == expected
