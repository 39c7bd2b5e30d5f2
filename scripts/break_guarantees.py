"""Shows that the tests of the guarantees can fail: breaks each mechanism by one change and runs the tests that name it.

Each row of `BREAKS` is a documented change to one place of the program. It is made in a copy, the named tests are run
against that copy, and they have to fail; without any change all of them have to pass. `make prove` prints the table;
exit code 0 if every break was found, else 1. `--only G4` runs some of them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "pyproject.toml", "docs", "scripts", "README.md", "Makefile", "changes", "bench")


@dataclass(frozen=True)
class Break:
    """One change: what of the mechanism it takes away, where, and which tests have to notice."""

    guarantee: str
    what: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


_DELIVERY = "tests/unit/hub/outgoing/test_delivery.py::"
_PIPELINE = "tests/unit/hub/intake/test_pipeline.py::"
_LISTENING = "tests/unit/hub/intake/test_listening.py::"
_RESTORATION = "tests/unit/systems/test_restoration.py::"

BREAKS: tuple[Break, ...] = (
    Break(
        "G1",
        "the answer leaves without waiting for the commit",
        "src/cimcare/store/sqlite.py",
        "        await waiter\n",
        "        del waiter\n",
        ("tests/contract/test_store.py::test_nobody_is_told_before_the_commit",),
    ),
    Break(
        "G2",
        "nobody looks whether a message was accepted before",
        "src/cimcare/hub/intake/passage.py",
        "        if original.outcome:\n            return original\n",
        "        if original.outcome:\n            return None\n",
        (_PIPELINE + "test_a_repeat_gets_the_same_answer_byte_for_byte",),
    ),
    Break(
        "G3",
        "each attempt has a MessageID of its own",
        "src/cimcare/hub/outgoing/attempting.py",
        "message_id=MessageID(delivery.message_id))",
        "message_id=MessageID(self._house.new_id()))",
        (_DELIVERY + "test_an_event_without_identifier_gets_one_that_stays",),
    ),
    Break(
        "G3",
        "a message counts as told when the first subscriber has it",
        "src/cimcare/hub/intake/telling.py",
        "facts_of(message), sender=source):",
        "facts_of(message), sender=source)[:1]:",
        (_DELIVERY + "test_each_subscriber_gets_what_it_wants_and_has_its_own_state",),
    ),
    Break(
        "G1",
        "a message of a broker is acknowledged before it is on disk",
        "src/cimcare/hub/intake/listening.py",
        "        offered = await offer(session, arrived)\n",
        "        await self._acknowledge(session, arrived)\n        offered = await offer(session, arrived)\n",
        (_LISTENING + "test_a_request_is_answered_and_only_then_acknowledged",),
    ),
    Break(
        "G1",
        "what a broker brought and nobody can serve is refused, and nobody finds it",
        "src/cimcare/hub/intake/replying.py",
        "            if self._received.origin is not None:\n                await put_aside(\n",
        "            if self._received.origin is not None and sequence < 0:\n                await put_aside(\n",
        (
            "tests/contract/test_broker_dead_letters.py::test_poison_is_found_with_its_reason_its_bytes_and_where_it_came_from[sqlite]",
        ),
    ),
    Break(
        "G3",
        "a delivery to a broker counts before the broker has confirmed it",
        "src/cimcare/transport/broker/sender.py",
        "                await outlet.publish(destination, asked, within=within)\n                return sent\n",
        "                task = asyncio.ensure_future(\n"
        "                    outlet.publish(destination, asked, within=within)\n"
        "                )\n"
        "                task.add_done_callback(lambda done: done.cancelled() or done.exception())\n"
        "                return sent\n",
        (
            "tests/unit/transport/broker/test_sender.py::test_an_event_that_is_not_confirmed_is_tried_again",
            "tests/unit/transport/broker/test_sender.py::test_a_broker_that_is_away_is_not_reached",
        ),
    ),
    Break(
        "G6",
        "behind a new session nobody consumes, and nobody looks",
        "src/cimcare/hub/intake/listening.py",
        "        self._forget(is_durable=is_durable)\n        within = ",
        "        if any(one.is_durable is is_durable and one.subscription for one in self._consumers):\n"
        "            return\n        within = ",
        (_LISTENING + "test_a_message_under_way_when_the_session_breaks_comes_again",),
    ),
    Break(
        "G6",
        "a consumer that gets nothing is believed",
        "src/cimcare/hub/intake/listening.py",
        "            (self._topics if consumer.is_durable else self._queues).give_up(reason)\n",
        "",
        (_LISTENING + "test_a_consumer_that_gets_nothing_is_attached_anew",),
    ),
    Break(
        "G4",
        "deliveries do not know of which objects they are",
        "src/cimcare/hub/intake/telling.py",
        "object_keys=keys or object_keys_of(message),",
        "object_keys=(),",
        (_DELIVERY + "test_order_is_kept_for_an_object_and_others_go_past",),
    ),
    Break(
        "G5",
        "patience has no end",
        "src/cimcare/exchange/sending.py",
        "if tries >= retry.attempts or (",
        "if tries < 0 and (",
        (_DELIVERY + "test_nothing_is_tried_for_ever",),
    ),
    Break(
        "G6",
        "a lease never runs out",
        "src/cimcare/store/sqlite_outbox.py",
        "AND is_head AND state = 'leased' AND due_at <= ?",
        "AND is_head AND state = 'leased' AND due_at <= -?",
        (_DELIVERY + "test_a_lease_that_ran_out_is_taken_over",),
    ),
    Break(
        "G7",
        "what is put in for a partner is not counted",
        "src/cimcare/exchange/booking.py",
        "    await _count(transaction, new, Ends.RECEIVED)\n",
        "",
        (_DELIVERY + "test_the_ledger_balances_whatever_happens",),
    ),
    Break(
        "G8",
        "everybody is let in",
        "src/cimcare/hub/intake/admission.py",
        "        return taken < max(1.0, self._limit * share) and"
        " before * self._seconds_of(rank) <= self._wait_of(rank)\n",
        "        return before >= 0\n",
        (_PIPELINE + "test_too_many_at_once_are_told_to_come_again",),
    ),
    Break(
        "G8",
        "who came first is first, whatever it is about",
        "src/cimcare/hub/intake/admission.py",
        "heappush(self._line, (-rank, number, since, begun))",
        "heappush(self._line, (0, number, since, begun))",
        ("tests/unit/hub/intake/test_admission.py::test_hazards_go_before_life_support_and_both_before_all_others",),
    ),
    Break(
        "G8",
        "a question is as good as a report",
        "src/cimcare/hub/intake/admission.py",
        "        rank = _QUESTION if any(sign in raw for sign in _SIGNS_OF_QUESTION) else Priority.NORMAL\n",
        "        rank = Priority.NORMAL\n",
        ("tests/unit/hub/intake/test_admission.py::test_questions_leave_half_of_the_places_to_reports",),
    ),
    Break(
        "G10",
        "a row of the audit trail does not know the one before it",
        "src/cimcare/exchange/audit.py",
        "number=number, previous=previous, hash=b",
        "number=number, previous=START, hash=b",
        ("tests/contract/test_audit.py",),
    ),
    Break(
        "G11",
        "any number of requests may wait for one slow partner",
        "src/cimcare/hub/intake/passing.py",
        "if self._waiting[partner.name] >= _PLACES * partner.parallel:",
        "if self._waiting[partner.name] < 0:",
        ("tests/unit/hub/test_forwarding.py::test_too_many_that_wait_for_one_partner_are_refused_and_others_are_not",),
    ),
    Break(
        "G12",
        "how it is known need not be said",
        "src/cimcare/systems/oms/restored.py",
        "    if reason not in frozenset(EvidenceKind):\n        return None\n",
        "    if reason not in frozenset(EvidenceKind):\n        reason = EvidenceKind.OPERATOR.value\n",
        (_RESTORATION + "test_nobody_closes_an_outage_without_saying_how_it_is_known",),
    ),
    Break(
        "G12",
        "the caller of one house restores all below the device",
        "src/cimcare/systems/oms/incidents.py",
        "        if extent.device is None:\n            return extent.premises > 0\n",
        "        if extent.premises > 0:\n            return True\n",
        (_RESTORATION + "test_the_ticket_of_one_house_does_not_restore_a_feeder",),
    ),
    Break(
        "G12",
        "one house that was restored twice stands for its neighbour",
        "src/cimcare/systems/oms/incidents.py",
        "return await count_lacking(self._records, incident.mrid, extent.device, below) == 0",
        "return True",
        (_RESTORATION + "test_a_house_counts_for_itself_and_for_no_other",),
    ),
    Break(
        "G12",
        "what was repaired has supply, whatever is out above it",
        "src/cimcare/systems/oms/pointing.py",
        "            if await count_lacking(self._records, one.mrid, extent.device, ()):\n                return one\n",
        "            if not one.mrid:\n                return one\n",
        (_RESTORATION + "test_what_lies_below_an_outage_that_goes_on_is_not_back",),
    ),
    Break(
        "G12",
        "the word about a feeder covers outages below it too",
        "src/cimcare/systems/oms/pointing.py",
        "        return await outages_below(self._records, extent.device, but=incident.mrid, since_before=at)\n",
        "        return ()\n",
        (_RESTORATION + "test_a_feeder_is_back_and_the_transformer_below_it_is_not",),
    ),
    Break(
        "G12",
        "who says still out is a new case",
        "src/cimcare/systems/oms/restoring.py",
        "        return await find_restored(self._records, point, path, since=since, until=at)\n",
        "        return None\n",
        (_RESTORATION + "test_still_out_after_a_restoration_is_believed_at_once",),
    ),
)


def run(tests: tuple[str, ...], folder: Path) -> bool:
    """Whether the tests pass against the program in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-m", "pytest", "--no-cov", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.returncode == 0


def apply(change: Break, folder: Path) -> str:
    """Make the change in the copy; the text that was there."""
    file = folder / change.file
    text = file.read_text("utf-8")
    if text.count(change.before) != 1:
        raise SystemExit(
            f"{change.guarantee}: {change.file} holds the place to change {text.count(change.before)} times"
        )
    file.write_text(text.replace(change.before, change.after), "utf-8")
    return text


def main(arguments: list[str] | None = None) -> int:
    """Do as the command line says; exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", default=[], help="guarantee to break, such as G4; may be repeated")
    given = parser.parse_args(arguments)
    chosen = [change for change in BREAKS if not given.only or change.guarantee in given.only]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="cimcare-breaks-") as name:
        folder = Path(name)
        for item in COPIED:
            source = ROOT / item
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / item)
        every = tuple(dict.fromkeys(test for change in chosen for test in change.tests))
        if not run(every, folder):
            print("the tests fail without any change; mend that first", file=sys.stderr)
            return 1
        for change in chosen:
            text = apply(change, folder)
            is_found = not run(change.tests, folder)
            (folder / change.file).write_text(text, "utf-8")
            missed += not is_found
            print(
                f"{change.guarantee:4} {'found ' if is_found else 'MISSED'}  {change.what} ({change.file})", flush=True
            )
    print(f"{len(chosen) - missed} of {len(chosen)} breaks found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
