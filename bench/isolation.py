"""What a partner that hangs costs the others, in one run: rounds with and without it take turns.

Tickets come at a steady rate. Three partners listen and are well; in every second round there is a fourth that takes
each message and never answers. Measured is the time from the instant at which the sender sent a create to that at which
a healthy partner has the event of it. Then the same for a partner that owns work requests and hangs while requests for
it keep coming: how long the senders of all other messages wait for their answers.

Hub, partners and sender are processes of their own. Exit code 1 if a median is more than 1.2 times the one without.
`python bench/isolation.py [--rate N] [--seconds N] [--rounds N] [--postgresql] [--json]`.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.load import Answered, Client, Outgoing, creates, median, percentile, run, send_at_rate, work_requests
from cimcare.model.verbs import Verb
from tests.support.hub import HubProcess, hub_process
from tests.support.partner import PartnerProcess, partner_process
from tests.support.postgres import a_database

MOST = 1.2
HEALTHY = ("north", "east", "south")
_LOOKS = 60
"""How often, every half second, it is looked whether all is delivered."""


def settings_of(partners: dict[str, PartnerProcess]) -> str:
    """Partners that listen to new tickets, and one that owns work requests."""
    parts = ["[delivery]\nlease_seconds = 15\n"]
    for name, partner in partners.items():
        owns = 'owns = ["WorkRequests"]\n' if name == "owner" else ""
        parts.append(f'[partners.{name}]\nurl = "{partner.address}/soap"\nsource = "{name.upper()}"\n{owns}')
        if name != "owner":
            parts.append(
                f'[subscriptions.{name}]\npartner = "{name}"\nnouns = ["TroubleTickets"]\nverbs = ["created"]\n'
            )
    return "".join(parts)


def deliveries_round(folder: Path, database: str, rate: float, seconds: float, *, with_bad: bool) -> list[float]:
    """Seconds from each create to each healthy partner."""
    folder.mkdir()
    messages = list(creates(range(int(rate * seconds)), name="t"))
    with ExitStack() as stack:
        partners = {
            name: stack.enter_context(partner_process(folder / f"{name}.journal", name=name.upper()))
            for name in HEALTHY
        }
        if with_bad:
            partners["hangs"] = stack.enter_context(
                partner_process(folder / "hangs.journal", name="HANGS", behaviour="hang")
            )
        hub = stack.enter_context(hub_process(folder, settings_of(partners), database=database))
        answered = run(lambda: _send(hub, messages, rate, partners))
        sent_at = {one.message.message_id: one.sent_at for one in answered if one.is_ok}
        assert len(sent_at) == len(messages), "not every create was accepted"
        took = []
        for name in HEALTHY:
            entries = [one for one in partners[name].entries if one.verb == Verb.CREATED and one.is_effect]
            took += [(one.at - sent_at[one.correlation_id]).total_seconds() for one in entries]
        assert len(took) == len(HEALTHY) * len(messages), f"{len(took)} of {len(HEALTHY) * len(messages)} delivered"
        return took


async def _send(
    hub: HubProcess, messages: list[Outgoing], rate: float, partners: dict[str, PartnerProcess]
) -> list[Answered]:
    client = Client(hub.address)
    answered = await send_at_rate(client, messages, rate)
    for _ in range(_LOOKS):
        if all(len(partners[name].entries) >= len(messages) for name in HEALTHY):
            break
        await asyncio.sleep(0.5)
    client.close()
    return answered


def intake_round(folder: Path, database: str, rate: float, seconds: float, *, with_bad: bool) -> list[float]:
    """Seconds to the answer of each ticket, while work requests come for a partner that is well or hangs."""
    folder.mkdir()
    messages = list(creates(range(int(rate * seconds)), name="t"))
    requests = list(work_requests(range(int(rate * seconds / 4)), name="w"))
    with ExitStack() as stack:
        owner = stack.enter_context(
            partner_process(folder / "owner.journal", name="OWNER", behaviour="hang" if with_bad else "accept")
        )
        hub = stack.enter_context(hub_process(folder, settings_of({"owner": owner}), database=database))

        async def send() -> list[Answered]:
            client, beside = Client(hub.address), Client(hub.address)
            other = asyncio.create_task(send_at_rate(beside, requests, rate / 4))
            answered = await send_at_rate(client, messages, rate)
            other.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await other
            return answered

        answered = run(send)
        assert all(one.is_ok for one in answered), "not every create was accepted"
        return [one.seconds for one in answered]


def describe(name: str, rounds: dict[bool, list[list[float]]]) -> float:
    """Print both sides; the ratio of their medians."""
    whole = {with_bad: [value for one in found for value in one] for with_bad, found in rounds.items()}
    for with_bad, values in whole.items():
        medians = ", ".join(f"{median(one) * 1000:.1f}" for one in rounds[with_bad])
        print(
            f"  {name}, {'one hangs' if with_bad else 'all well':9}  median {median(values) * 1000:7.1f} ms"
            f"  p95 {percentile(values, 0.95) * 1000:7.1f} ms  (medians of rounds: {medians})"
        )
    ratio = median(whole[True]) / median(whole[False])
    print(f"  {name}: {ratio:.2f} x, wanted at most {MOST} x")
    return ratio


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=20.0, help="tickets a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    ratios = {}
    for name, one_round in (("delivery", deliveries_round), ("intake", intake_round)):
        rounds: dict[bool, list[list[float]]] = {False: [], True: []}
        for number in range(2 * options.rounds):
            with_bad = number % 2 == 1
            with tempfile.TemporaryDirectory() as text:
                folder = Path(text)
                with a_database("postgresql" if options.postgresql else "sqlite", folder) as database:
                    took = one_round(folder / "run", database, options.rate, options.seconds, with_bad=with_bad)
            rounds[with_bad].append(took)
        if options.json:
            ratios[name] = median([v for one in rounds[True] for v in one]) / median(
                [v for one in rounds[False] for v in one]
            )
        else:
            ratios[name] = describe(name, rounds)
    if options.json:
        print(json.dumps({"ratios": ratios, "most": MOST}))
    return int(any(ratio > MOST for ratio in ratios.values()))


if __name__ == "__main__":
    sys.exit(main())
