"""A seeded simulator: the real code of many processes on one scheduler, with virtual time and a store that misbehaves.

    sim = Sim(seed=7)
    store = SimStore(sim, MemoryStore(sim.process("store").env), faults=Faults(lost=0.05))
    one = sim.process("one")
    one.spawn(work(Retrying(store, one.env)))
    sim.run()

Every wait and every store call is a point where another actor may run. Which one does is drawn from the seed, so a run
is repeated exactly by its seed.

Invariants:
- Nothing in a run depends on real time, on threads or on hash order: equal seeds give equal traces (:attr:`Sim.trace`,
  and :attr:`Sim.digest`, which is kept even when nobody looks at the trace).
- Every process draws from dice of its own, so a run without one of its processes is otherwise much like the whole run.
- A process that is killed runs no further instruction; what it had sent may still take effect, later.
- A paused process stops, its boot clock with it when the machine is paused; the store's clock goes on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar
from zlib import crc32

from swampstore.errors import SwampError

T = TypeVar("T")
START_MS = 1_800_000_000_000
_WAITS_IN_CLEANUP = 100


class Wait:
    """What an actor is waiting for: time, an event, or both."""

    __slots__ = ("event", "seconds")

    def __init__(self, seconds: float | None, event: SimEvent | None = None) -> None:
        self.seconds = seconds
        self.event = event

    def __await__(self) -> Generator[Wait, None, None]:
        return iter((self,))  # type: ignore[return-value]  # a generator, without the frame of one


class SimEvent:
    """See :class:`swampstore.env.base.Event`."""

    __slots__ = ("_set", "_sim", "waiters")

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._set = False
        self.waiters: list[Actor] = []

    def set(self) -> None:
        self._set = True
        for actor in self.waiters:
            self._sim.wake(actor, 0.0)
        self.waiters.clear()

    def is_set(self) -> bool:
        return self._set

    async def wait(self, seconds: float | None = None) -> bool:
        if not self._set:
            await Wait(seconds, self)
        return self._set


class Actor:
    """One coroutine of a process, in a context of its own, as a task has. ``result`` or ``error`` once ``done``."""

    __slots__ = ("context", "done", "error", "finished", "name", "process", "result", "tag", "turn", "work")

    def __init__(self, process: Process, work: Coroutine[Any, Any, Any], name: str) -> None:
        self.process = process
        self.name = name
        self.tag = name.encode()
        self.work = work
        running = process.sim.running
        self.context = copy_context() if running is not None and running.process is process else Context()
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.turn = 0
        """Counts wake-ups: one that was overtaken by another is void."""
        self.finished = SimEvent(process.sim)


class _Beat:
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    async def stop(self) -> None:
        actor = self._actor
        if not actor.done:
            actor.process.sim.end(actor)
        elif actor.error is not None:
            raise actor.error


class SimEnv:
    """See :class:`swampstore.env.base.Env`: the clocks and dice of one simulated process."""

    def __init__(self, process: Process, skew_ms: int) -> None:
        self._process = process
        self._sim = process.sim
        self.skew_ms = skew_ms
        self.stopped_s = 0.0
        """How long this machine's boot clock has stood still."""

    def wall_ms(self) -> int:
        return START_MS + int(self._sim.now * 1000) + self.skew_ms

    def boot(self) -> float:
        return self._sim.now - self.stopped_s

    def random_bytes(self, count: int) -> bytes:
        return self._process.dice.randbytes(count)

    def random(self) -> float:
        return self._process.dice.random()

    def identity(self) -> tuple[str, int]:
        return self._process.name, 1

    def process_token(self) -> int:
        return 1

    def check_caller(self) -> None:
        """Anybody may call."""

    async def sleep(self, seconds: float) -> None:
        await Wait(seconds)

    def event(self) -> SimEvent:
        return SimEvent(self._sim)

    async def detached(self, work: Coroutine[Any, Any, T]) -> T:
        actor = self._process.spawn(work)
        await actor.finished.wait()
        if actor.error is not None:
            raise actor.error
        result: T = actor.result
        return result

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        actor = self._process.spawn(work)
        if not await actor.finished.wait(seconds):
            raise TimeoutError(f"not done within {seconds:g} s")
        if actor.error is not None:
            raise actor.error
        result: T = actor.result
        return result

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> _Beat:
        async def beat() -> None:
            while True:
                await Wait(seconds)
                await work()

        return _Beat(self._process.spawn(beat()))


class Process:
    """A simulated process: its environment and its actors."""

    def __init__(self, sim: Sim, name: str, skew_ms: int) -> None:
        self.sim = sim
        self.name = name
        self.env = SimEnv(self, skew_ms)
        self.dice = random.Random(f"{sim.seed}/{name}")
        self.actors: list[Actor] = []
        self.dead = False
        self.paused_until = 0.0
        self.on_kill: Callable[[], None] | None = None

    def spawn(self, work: Coroutine[Any, Any, Any], name: str = "") -> Actor:
        """Start ``work`` beside the others; it begins at the next turn."""
        actor = Actor(self, work, f"{self.name}/{name or len(self.actors)}")
        self.actors.append(actor)
        self.sim.wake(actor, 0.0)
        return actor

    def kill(self) -> None:
        """Stop for good, as ``kill -9`` does: no cleaning up, no further instruction."""
        self.dead = True
        self.sim.note(f"kill {self.name}")
        if self.on_kill is not None:
            self.on_kill()

    def jump(self, ms: int) -> None:
        """Set the wall clock forward or back; the boot clock does not notice."""
        self.env.skew_ms += ms
        self.sim.note(f"clock of {self.name} {ms:+} ms")

    def pause(self, seconds: float, *, machine: bool = False) -> None:
        """Stand still for ``seconds``; with ``machine`` the boot clock does too."""
        self.paused_until = max(self.paused_until, self.sim.now + seconds)
        if machine:
            self.env.stopped_s += seconds
        self.sim.note(f"pause {self.name} {seconds:.3f}")


class Sim:
    """The scheduler. ``now`` is virtual seconds since the start."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self._draw = self.dice.random
        self.now = 0.0
        self.steps = 0
        self.trace: list[str] = []
        self.tracing = False
        self.digest = 0
        """A hash of who ran when, of every step so far."""
        self.halted = False
        """Set by a check that has failed: nobody runs any more."""
        self.running: Actor | None = None
        self._heap: list[tuple[float, float, int, Actor, int]] = []
        self._count = 0
        self._processes: list[Process] = []

    def process(self, name: str, *, skew_ms: int = 0) -> Process:
        """A new process; ``skew_ms`` is how far its wall clock is off."""
        made = Process(self, name, skew_ms)
        self._processes.append(made)
        return made

    def note(self, text: str) -> None:
        """Put a line into the trace (when tracing)."""
        if self.tracing:
            self.trace.append(f"{self.now:9.3f} {text}")

    def wake(self, actor: Actor, seconds: float) -> None:
        """Let ``actor`` run in ``seconds``; a later wake-up replaces an earlier one."""
        self._count = count = self._count + 1
        actor.turn = turn = actor.turn + 1
        heappush(self._heap, (self.now + seconds, self._draw(), count, actor, turn))

    def end(self, actor: Actor) -> None:
        """End one actor from outside."""
        actor.done = True
        actor.work.close()

    def run(self, *, seconds: float = 1e9, steps: int = 1_000_000, until: Actor | None = None) -> None:
        """Run until nothing is left to do, ``until`` has ended, or the limits. Raises ``RuntimeError`` when ``steps`` do not suffice."""
        deadline, heap = self.now + seconds, self._heap
        while heap and heap[0][0] <= deadline and not (until is not None and until.done):
            if self.halted:
                return
            at, _, _, actor, turn = heappop(heap)
            if at > self.now:
                self.now = at
            process = actor.process
            if actor.done or process.dead or turn != actor.turn:
                continue
            if process.paused_until > self.now:
                self.wake(actor, process.paused_until - self.now)
                continue
            self.steps += 1
            if self.steps > steps:
                raise RuntimeError(f"seed {self.seed}: {steps} steps did not suffice")
            self._step(actor)
        for process in self._processes:
            for actor in process.actors:
                if not actor.done and process.dead:
                    self._bury(actor)

    def close(self) -> None:
        """Forget whatever has not ended, nothing of which has an effect any more, and who took part."""
        self.running = None
        for process in self._processes:
            process.dead = True
            for actor in process.actors:
                if not actor.done:
                    self._bury(actor)
            process.actors.clear()  # they and their processes name each other: too much for the garbage collector
        self._processes.clear()
        self._heap.clear()

    def _bury(self, actor: Actor) -> None:
        """Forget the coroutine of a killed process. What it tries to clean up ends at its first wait, before any effect."""
        actor.done = True
        for _ in range(_WAITS_IN_CLEANUP):
            try:
                actor.work.close()
            except (RuntimeError, SwampError):  # it waited in its clean-up, or said what it thinks of this end
                continue
            return
        _graveyard.append(actor.work)

    def _step(self, actor: Actor) -> None:
        if self.tracing:
            self.note(actor.name)
        self.digest = crc32(actor.tag, self.digest ^ (hash(self.now) & 0xFFFFFFFF))
        self.running = actor
        try:
            wait = actor.context.run(actor.work.send, None)
        except StopIteration as stop:
            actor.done, actor.result = True, stop.value
            actor.finished.set()
            return
        except BaseException as error:
            actor.done, actor.error = True, error
            actor.finished.set()
            if not isinstance(error, SwampError):
                raise
            return
        event, seconds = wait.event, wait.seconds
        if event is not None:
            if event.is_set():
                self.wake(actor, 0.0)
                return
            event.waiters.append(actor)
        if seconds is not None:
            self.wake(actor, max(0.0, seconds))


_graveyard: list[Coroutine[Any, Any, Any]] = []
"""Coroutines of killed processes that would not end: kept, because collecting one complains."""
