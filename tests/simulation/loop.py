"""An event loop whose time passes only when nothing else is left to be done, and which knows whose every step is.

It runs what asyncio's tasks, futures, events and timeouts need, and refuses all else: a socket, a thread or a process
would bring in what no seed decides. What is ready runs in the order in which it became ready; what waits for the same
instant, in the order in which it began to wait.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["PROCESS", "DeadlockError", "EndlessError", "VirtualLoop"]

T = TypeVar("T")

PROCESS: contextvars.ContextVar[str] = contextvars.ContextVar("process", default="")
"""Which process of the hub a step belongs to; empty for the world around it. Tasks inherit it."""


class DeadlockError(Exception):
    """Something is awaited that nobody is going to do."""


class EndlessError(Exception):
    """So many steps that something must be going round in circles."""


class _Handle:
    """A step to be run, or a timer."""

    __slots__ = ("_args", "_callback", "_loop", "_when", "context")

    def __init__(
        self,
        loop: "VirtualLoop",
        callback: Callable[..., object],
        args: tuple[object, ...],
        context: contextvars.Context | None,
        when: float = 0.0,
    ) -> None:
        self._loop = loop
        self._callback: Callable[..., object] | None = callback
        self._args = args
        self._when = when
        self.context = context if context is not None else contextvars.copy_context()

    def cancel(self) -> None:
        self._callback = None
        self._args = ()

    def cancelled(self) -> bool:
        return self._callback is None

    def when(self) -> float:
        return self._when

    def run(self) -> None:
        if self._callback is None:
            return
        try:
            self.context.run(self._callback, *self._args)
        except Exception as error:  # noqa: BLE001 - as every event loop does
            self._loop.complain(self.context.get(PROCESS, ""), error)


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs everything on one virtual clock, which starts at 0 seconds.

    Args:
        most_steps: After so many steps `run` gives up.
        before_step: Called before each step with the process that it belongs to.
    """

    def __init__(self, *, most_steps: int, before_step: Callable[[str], None] = lambda _: None) -> None:
        self._now = 0.0
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._timer_count = 0
        self._most_steps = most_steps
        self._before_step = before_step
        self._frozen: dict[str, list[_Handle]] = {}
        self._is_closed = False
        self.steps = 0
        self.tasks: dict[str, list[asyncio.Task[Any]]] = {}
        """All tasks ever begun, by the process that they belong to."""
        self.complaints: list[str] = []
        """What asyncio would have logged as errors."""
        self._killed: set[str] = set()

    # ------------------------------------------------------------------------------------------------ running

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until `main` has ended; its result.

        Raises:
            DeadlockError: Nothing is left that could be done, and it has not ended.
            EndlessError: It has taken more steps than were allowed.
        """
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                if not self._ready:
                    self._advance()
                handle = self._ready.popleft()
                process = handle.context.get(PROCESS, "")
                if process in self._frozen:
                    self._frozen[process].append(handle)
                    continue
                self.steps += 1
                if self.steps > self._most_steps:
                    raise EndlessError(f"more than {self._most_steps} steps")
                self._before_step(process)
                handle.run()
            return task.result()
        finally:
            asyncio._set_running_loop(None)

    def _advance(self) -> None:
        """Let time pass until the next timer, and make all timers of that instant ready."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise DeadlockError("nothing is scheduled, and the run has not ended")
        self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)

    def freeze(self, process: str) -> None:
        """Stop a process as the system may at any instant; its timers run out, and nothing of it runs."""
        self._frozen.setdefault(process, [])

    def thaw(self, process: str) -> None:
        """Let a process go on where it was stopped."""
        self._ready.extend(self._frozen.pop(process, ()))

    def kill(self, process: str) -> None:
        """Cancel all tasks of a process. What they do on their way out must be kept from having any effect."""
        self._killed.add(process)
        for task in self.tasks.pop(process, []):
            task.cancel()
        self.thaw(process)

    def abandon(self) -> None:
        """Cancel whatever is left, and let it end."""
        asyncio._set_running_loop(self)
        try:
            for process in tuple(self.tasks):
                self.kill(process)
            while self._ready:
                self._ready.popleft().run()
        finally:
            asyncio._set_running_loop(None)
            self.close()

    # ------------------------------------------------------------------------------- what asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> _Handle:
        handle = _Handle(self, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> _Handle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> _Handle:
        handle = _Handle(self, callback, args, context, when)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        process = PROCESS.get() if context is None else context.get(PROCESS, "")
        self.tasks.setdefault(process, []).append(task)
        return task

    def complain(self, process: str, error: object) -> None:
        """An error that nobody caught; those of a process that is being killed do not count."""
        if process not in self._killed:
            self.complaints.append(f"{process or 'world'}: {type(error).__name__}: {error}")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nothing: what it tells depends on when memory is freed. Errors of tasks are looked for in `tasks`."""

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._is_closed

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()
