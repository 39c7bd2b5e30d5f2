"""Who is let in when too many come at once, and who is next."""

import asyncio

import pytest

from cimcare.exchange.outbox import Priority
from cimcare.hub.intake.admission import Admission, Pace, Place

PLAIN = b"<RequestMessage/>"
DANGER = b"<Hazards><type>wire down</type></Hazards>"
NEED = b"<specialNeed>dialysis</specialNeed>"
QUESTION = b"<RequestMessage><Header><Verb>get</Verb></Header></RequestMessage>"
TOGETHER = 64
"""How many may be begun and not done."""

FIRST_SLICE = 8
"""How many one round begins while the pace is not known."""


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def an_admission(
    time: Time, *, limit: int = 2, reserve: int = 1, wait_seconds: float = 10.0, question_wait_seconds: float = 5.0
) -> Admission:
    return Admission(
        limit=limit,
        reserve=reserve,
        wait_seconds=wait_seconds,
        question_wait_seconds=question_wait_seconds,
        now=time,
    )


def entered(admission: Admission, raw: bytes = PLAIN) -> Place:
    place = admission.enter(raw)
    assert place is not None
    return place


class Work:
    """Messages that are worked on until somebody says that they are done."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.begun: list[str] = []
        self.done = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, name: str, raw: bytes = PLAIN) -> asyncio.Task[None]:
        task = asyncio.create_task(self._one(name, entered(self.admission, raw)))
        self.tasks.append(task)
        return task

    async def _one(self, name: str, place: Place) -> None:
        try:
            await place.turn()
            self.begun.append(name)
            await self.done.wait()
        finally:
            place.leave()

    async def finish(self) -> None:
        self.done.set()
        await asyncio.gather(*self.tasks)


async def rounds(number: int = 3) -> None:
    """Let the event loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)


# ----------------------------------------------------------------------------------------------------- who is let in


def test_the_bound_holds_for_ordinary_messages() -> None:
    """A queue without a bound is a collapse that has not happened yet."""
    admission = an_admission(Time())
    first, _ = entered(admission), entered(admission)
    assert admission.enter(PLAIN) is None
    first.leave()
    assert admission.enter(PLAIN) is not None


@pytest.mark.parametrize("raw", [DANGER, NEED])
def test_what_looks_urgent_has_places_of_its_own(raw: bytes) -> None:
    """A wire down must get through when every line is busy."""
    admission = an_admission(Time())
    entered(admission)
    entered(admission)
    assert admission.enter(PLAIN) is None
    assert admission.enter(raw) is not None
    assert admission.enter(raw) is None, "the reserve is used up"


@pytest.mark.parametrize(
    "question", [QUESTION, b'{"RequestMessage":{"Header":{"Verb":"get"}}}', b"<x:Verb>get</x:Verb>"]
)
def test_questions_leave_half_of_the_places_to_reports(question: bytes) -> None:
    """For each who reports ten ask how far it is; a question is asked again, a call may be lost."""
    admission = an_admission(Time(), limit=4)
    first, _ = entered(admission, question), entered(admission, question)
    assert admission.enter(question) is None
    assert [admission.enter(PLAIN) is not None for _ in range(3)] == [True, True, False]
    first.leave()
    assert admission.enter(question) is None, "three places of four are taken"


def test_a_hub_with_one_place_answers_questions_too() -> None:
    """Half of one is one."""
    admission = an_admission(Time(), limit=1)
    entered(admission, QUESTION).leave()
    entered(admission)
    assert admission.enter(QUESTION) is None


def test_half_of_the_places_taken_by_others_is_a_crowd() -> None:
    """Then there is no room for what nobody needs. A hub with one place is not crowded by whoever asks."""
    alone = entered(an_admission(Time(), limit=1))
    assert not alone.is_crowded
    admission = an_admission(Time(), limit=4)
    places = [entered(admission) for _ in range(3)]
    assert not places[0].is_crowded
    entered(admission)
    assert places[0].is_crowded
    places.pop().leave()
    assert not places[0].is_crowded


async def test_who_takes_a_place_of_the_reserve_has_to_be_urgent() -> None:
    """A message that only mentions a hazard must not get past the others; one that reports it must."""
    admission = an_admission(Time())
    entered(admission)
    entered(admission)
    place = entered(admission, DANGER)
    await place.turn()
    assert await place.keep(Priority.HAZARD)
    assert await place.keep(Priority.LIFE_SUPPORT)
    assert not await place.keep(Priority.NORMAL)


async def test_a_message_within_the_bound_may_stay_whatever_it_is() -> None:
    """It does not compete with itself for the last place."""
    admission = an_admission(Time(), limit=1)
    place = entered(admission)
    await place.turn()
    assert await place.keep(Priority.NORMAL)
    place.leave()
    place = entered(admission, DANGER)
    await place.turn()
    assert await place.keep(Priority.NORMAL)


@pytest.mark.parametrize("times", [1, 5])
def test_who_waits_for_a_partner_takes_no_place(times: int) -> None:
    """A dead outage system must not keep the others' messages out (G11)."""
    admission = an_admission(Time())
    places = [entered(admission) for _ in range(1)]
    places[0].suspend()
    for _ in range(times - 1):
        places.append(entered(admission))
        places[-1].suspend()
    assert admission.in_work == 0
    assert admission.enter(PLAIN) is not None
    places[0].resume()
    assert admission.in_work == 2


# --------------------------------------------------------------------------------------------------------- the pace


def test_nothing_is_known_of_the_pace_while_nobody_waits() -> None:
    """A message alone takes as long as a commit does, a hundred together hardly longer: it says nothing of them."""
    pace = Pace()
    for second in range(100):
        pace.note(float(second))
    assert pace.seconds(100.0) == 0.0


def test_the_pace_is_learned_while_somebody_waits_and_forgotten_with_the_line() -> None:
    """The first call after a quiet night is not refused for what the evening was like."""
    pace = Pace()
    pace.start(10.0)
    for number in range(1, 101):
        pace.note(10.0 + number * 2.0)
        assert pace.seconds(10.0 + number * 2.0) == (2.0 if number >= 16 else pytest.approx(2.0))
    pace.stop()
    assert pace.seconds(5000.0) == 0.0
    pace.start(5000.0)
    pace.note(5000.5)
    assert pace.seconds(5000.5) == 0.0, "too few to tell"


def test_a_commit_that_ends_many_at_once_is_not_taken_for_their_pace() -> None:
    """Messages of one commit are done in the same moment, and the next moment is a commit later."""
    pace = Pace()
    pace.start(0.0)
    for commit in range(1, 20):
        for _ in range(32):
            pace.note(commit * 0.064)
        if commit >= 4:
            assert pace.seconds(commit * 0.064) == pytest.approx(0.002, rel=0.35)
            assert pace.seconds((commit + 0.99) * 0.064) == pytest.approx(0.002, rel=0.6)


def test_the_pace_follows_what_becomes_of_the_disk() -> None:
    """What was quick an hour ago says nothing of now."""
    pace = Pace()
    pace.start(0.0)
    for number in range(1, 1001):
        pace.note(number * 0.001)
    for number in range(1, 129):
        pace.note(1.0 + number * 0.5)
    assert pace.seconds(65.0) == pytest.approx(0.5)


def test_a_standstill_is_noticed_without_anything_being_done() -> None:
    """A store that hangs must not collect everybody who calls meanwhile."""
    pace = Pace()
    pace.start(0.0)
    assert pace.seconds(0.9) == 0.0
    assert pace.seconds(3.0) == 3.0


async def test_nobody_is_let_in_to_wait_for_too_long() -> None:
    """An answer that comes after the caller has hung up is no answer."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=10.0)
    work = Work(admission)
    for number in range(200):
        work.come(str(number))
    await rounds()
    places = [entered(admission) for _ in range(20)]
    for place in places:
        time.seconds += 0.25
        place.leave()
    assert admission.in_work == 200
    assert admission.enter(PLAIN) is None, "200 at a quarter of a second each are 50 seconds"
    assert admission.enter(DANGER) is not None, "whoever is urgent is first in the line, and waits for none of them"
    await work.finish()
    assert admission.enter(PLAIN) is not None


async def test_questions_are_refused_at_a_wait_of_their_own_and_reports_are_not() -> None:
    """A report waits for no question, and so is let in where a question is told to come again."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=10.0)
    work = Work(admission)
    for number in range(TOGETHER + 16):
        work.come(str(number))
    for number in range(40):
        work.come(f"question {number}", QUESTION)
    await rounds(40)
    for place in [entered(admission) for _ in range(16)]:
        time.seconds += 0.1
        place.leave()
    assert admission.in_work == 120
    assert admission.enter(QUESTION) is None, "120 at a tenth of a second each are 12 seconds, of which it may wait 5"
    assert admission.enter(PLAIN) is not None, "80 go before it"
    await work.finish()


async def test_a_question_that_is_too_late_is_told_so_while_reports_keep_coming() -> None:
    """Behind an endless line of reports it would wait until its sender has forgotten it."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=10.0)
    places = [entered(admission) for _ in range(TOGETHER)]
    question = asyncio.create_task(entered(admission, QUESTION).turn())
    work = Work(admission)
    for number in range(100):
        work.come(str(number))
    await rounds()
    for place in places[:20]:
        time.seconds += 0.1
        place.leave()
        await rounds()
    assert question.done(), "it has waited for 2 seconds, and 64 are begun at a tenth of a second each"
    assert await question is False
    for place in places[20:]:
        time.seconds += 0.1
        place.leave()
        await rounds()
    await work.finish()
    assert len(work.begun) == 100, "a report may wait longer"


async def test_a_long_wait_for_a_partner_is_not_taken_for_slowness() -> None:
    """Requests that a hanging owner has held for its deadline say nothing of what the hub can do (G11)."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=1.0)
    held = [entered(admission) for _ in range(50)]
    for place in held:
        await place.turn()
        place.suspend()
    for place in held:
        time.seconds += 30.0
        place.resume()
        place.leave()
    for _ in range(500):
        assert admission.enter(PLAIN) is not None


async def test_a_request_that_was_passed_on_is_done_for_those_who_wait() -> None:
    """A burst of requests for a slow owner must not look like a standstill to everybody else."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=10.0)
    work = Work(admission)
    held = [entered(admission) for _ in range(100)]
    for number in range(100):
        work.come(str(number))
    await rounds()
    for place in held:
        time.seconds += 0.01
        place.suspend()
    time.seconds += 0.5
    assert admission.enter(PLAIN) is not None
    for place in held:
        place.resume()
        place.leave()
    await work.finish()


# --------------------------------------------------------------------------------------------------------- the line


async def test_one_that_comes_alone_is_begun_at_once() -> None:
    """Whoever meets nobody must not pay for the line."""
    admission = an_admission(Time(), limit=1000)
    place = entered(admission)
    waiting = place.turn()
    with pytest.raises(StopIteration):
        waiting.send(None)
    place.leave()


async def test_each_round_begins_a_slice_and_lets_others_arrive() -> None:
    """While a hundred are worked on one after another nobody would be refused, and no hazard would be seen."""
    work = Work(an_admission(Time(), limit=1000))
    for number in range(30):
        work.come(str(number))
    begun = []
    while len(work.begun) < 30:
        await asyncio.sleep(0)
        begun.append(len(work.begun))
    steps = [after - before for before, after in zip([0, *begun], begun, strict=False)]
    assert max(steps) == FIRST_SLICE
    assert work.begun == [str(number) for number in range(30)]
    await work.finish()


async def test_a_slice_is_as_long_as_the_pace_allows() -> None:
    """A round of eight is too long where each takes a tenth of a second."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=1000.0)
    work = Work(admission)
    places = [entered(admission) for _ in range(TOGETHER)]
    for number in range(20):
        work.come(str(number))
    await rounds()
    assert work.begun == []
    for place in places:
        time.seconds += 0.1
        place.leave()
    steps = []
    for _ in range(10):
        before = len(work.begun)
        await asyncio.sleep(0)
        steps.append(len(work.begun) - before)
    assert max(steps) == 1
    await work.finish()


async def test_no_more_are_begun_than_one_commit_takes() -> None:
    """What is begun and waits for the store would stand in a second line, where the urgent are not first."""
    admission = an_admission(Time(), limit=1000)
    work = Work(admission)
    for number in range(TOGETHER + 5):
        work.come(str(number))
    await rounds(40)
    assert len(work.begun) == TOGETHER
    work.come("hazard", DANGER)
    await rounds(40)
    assert len(work.begun) == TOGETHER
    await work.finish()
    assert work.begun[TOGETHER] == "hazard"
    assert work.begun[TOGETHER + 1 :] == [str(number) for number in range(TOGETHER, TOGETHER + 5)]
    assert admission.in_work == 0


async def test_a_place_is_free_for_the_next_while_a_partner_is_waited_for() -> None:
    """Sixty-four requests for a hanging owner must not stop everybody else (G11)."""
    admission = an_admission(Time(), limit=1000)
    work = Work(admission)
    places = [entered(admission) for _ in range(TOGETHER)]
    for place in places:
        task = asyncio.create_task(place.turn())
        await task
    work.come("other")
    await rounds()
    assert work.begun == []
    places[0].suspend()
    await rounds()
    assert work.begun == ["other"]
    await work.finish()


async def test_hazards_go_before_life_support_and_both_before_all_others() -> None:
    """First in line (G8)."""
    admission = an_admission(Time(), limit=1000, reserve=100)
    work = Work(admission)
    places = [entered(admission) for _ in range(TOGETHER)]
    for name, raw in (("first", PLAIN), ("need", NEED), ("second", PLAIN), ("danger", DANGER), ("third", PLAIN)):
        work.come(name, raw)
    await rounds()
    for place in places:
        place.leave()
    await rounds(5)
    assert work.begun == ["danger", "need", "first", "second", "third"]
    await work.finish()


async def test_questions_go_behind_reports_in_the_order_in_which_they_came() -> None:
    """A call that is not taken is lost; a question is asked again."""
    admission = an_admission(Time(), limit=1000)
    work = Work(admission)
    places = [entered(admission) for _ in range(TOGETHER)]
    for name, raw in (("ask", QUESTION), ("first", PLAIN), ("ask again", QUESTION), ("second", PLAIN)):
        work.come(name, raw)
    gone = work.come("gone", QUESTION)
    await rounds()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    work.tasks.remove(gone)
    for place in places:
        place.leave()
    await rounds(5)
    assert work.begun == ["first", "second", "ask", "ask again"]
    await work.finish()
    assert admission.in_work == 0


async def test_a_question_that_only_looked_urgent_goes_back_behind_reports() -> None:
    """A question about hazards is a question."""
    admission = an_admission(Time(), limit=1000)
    begun = []

    async def one(name: str, place: Place) -> None:
        await place.turn()
        assert await place.keep(Priority.NORMAL)
        begun.append(name)
        place.leave()

    places = [entered(admission) for _ in range(TOGETHER)]
    tasks = [asyncio.create_task(one("question", entered(admission, QUESTION + DANGER)))]
    tasks += [asyncio.create_task(one(name, entered(admission))) for name in ("first", "second")]
    await rounds()
    places[0].leave()
    await rounds(20)
    for place in places[1:]:
        place.leave()
    await asyncio.gather(*tasks)
    assert begun == ["first", "second", "question"]


async def test_who_only_looked_urgent_goes_back_to_where_it_belongs() -> None:
    """Else a comment with the right word in it would be a way past everybody."""
    admission = an_admission(Time(), limit=1000)
    begun = []

    async def one(name: str, place: Place) -> None:
        await place.turn()
        if name == "pretender":
            assert await place.keep(Priority.NORMAL)
        begun.append(name)
        place.leave()

    places = [entered(admission) for _ in range(TOGETHER)]
    tasks = [asyncio.create_task(one(name, entered(admission))) for name in ("first", "second")]
    tasks.append(asyncio.create_task(one("pretender", entered(admission, DANGER))))
    tasks.append(asyncio.create_task(one("later", entered(admission))))
    await rounds()
    places[0].leave()
    await rounds(20)
    for place in places[1:]:
        place.leave()
    await asyncio.gather(*tasks)
    assert begun == ["first", "second", "pretender", "later"]


async def test_a_caller_that_goes_away_leaves_the_line() -> None:
    """Nobody works for a task that was cancelled, and no place is lost by it."""
    admission = an_admission(Time(), limit=1000)
    work = Work(admission)
    places = [entered(admission) for _ in range(TOGETHER)]
    gone, stays = work.come("gone"), work.come("stays")
    await rounds()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    places[0].leave()
    await rounds()
    assert work.begun == ["stays"]
    work.tasks = [stays]
    await work.finish()
    for place in places[1:]:
        place.leave()
    assert admission.in_work == 0


async def test_a_caller_that_goes_away_when_its_turn_comes_holds_nobody_up() -> None:
    """The moment between being called and going on is the one that is easily forgotten."""
    admission = an_admission(Time(), limit=1000)
    work = Work(admission)
    places = [entered(admission) for _ in range(TOGETHER)]
    gone = work.come("gone")
    await rounds()
    places[0].leave()
    admission._begin_round()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    work.tasks = [work.come("next")]
    await rounds()
    assert work.begun == ["next"]
    await work.finish()
    for place in places[1:]:
        place.leave()
    assert admission.in_work == 0


# ------------------------------------------------------------------------------------------- what was let in too early


def test_urgent_ones_still_to_come_are_thought_of() -> None:
    """Of what is done in the time that an ordinary one waits, part goes to those that come behind it and before it."""

    def most_let_in(*raws: bytes) -> int:
        time = Time()
        admission = an_admission(time, limit=1000, reserve=1000, wait_seconds=2.0)
        admission._pace.start(0.0)
        for number in range(120):  # 10 ms each
            place = entered(admission, raws[number % len(raws)])
            time.seconds += 0.01
            place.leave()
        number = 0
        while admission.enter(PLAIN) is not None:
            number += 1
        return number

    assert most_let_in(PLAIN) == pytest.approx(200, abs=3)
    assert most_let_in(PLAIN, DANGER) == pytest.approx(100, abs=3), "every other one is done for somebody else"
    assert most_let_in(PLAIN, PLAIN, PLAIN, DANGER) == pytest.approx(150, abs=3)


async def test_who_was_let_in_and_waits_much_too_long_is_refused_in_the_end() -> None:
    """The pace may fall after somebody was let in. Refused late is better than answered when nobody waits."""
    time = Time()
    admission = an_admission(time, limit=1000, reserve=1000, wait_seconds=10.0)
    begun = [entered(admission) for _ in range(TOGETHER)]
    for place in begun:
        assert await place.turn()
        await rounds(1)
    ordinary, urgent, young = entered(admission), entered(admission, DANGER), None
    waiting = [asyncio.create_task(place.turn()) for place in (ordinary, urgent)]
    await rounds()
    time.seconds = 12.5
    young = entered(admission, DANGER)
    later = asyncio.create_task(young.turn())
    for place in begun[:4]:
        place.leave()
    await rounds(6)
    assert [task.result() for task in waiting] == [False, True]
    assert later.result()


async def test_who_waits_a_little_longer_than_foreseen_is_served() -> None:
    """Else each small delay would refuse somebody who has waited long already."""
    time = Time()
    admission = an_admission(time, limit=1000, wait_seconds=10.0)
    begun = [entered(admission) for _ in range(TOGETHER)]
    for place in begun:
        assert await place.turn()
        await rounds(1)
    late = entered(admission)
    waiting = asyncio.create_task(late.turn())
    await rounds()
    time.seconds = 10.5
    for place in begun[:-1]:
        place.leave()
    await rounds(6)
    assert waiting.result()
