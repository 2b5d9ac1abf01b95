"""A stage for several processes: simulated ones over one memory store, with virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.stores.base import Overwrite, Request
from swampstore.stores.memory import MemoryStore
from swampstore.testing.sim import Actor, Process, Sim
from swampstore.testing.sim_store import Faults, SimStore
from swampstore.testing.wrappers import CountingStore
from swampstore.values.deltas import Put
from swampstore.workers.compactor import Compactor

CALM = Faults()
played: list[Stage] = []
"""Every stage of the test that runs; closed behind it."""


class Player:
    """One simulated process with an open namespace; ``counting`` counts its requests, ``hook`` sees each before."""

    def __init__(self, stage: Stage, name: str, faults: Faults) -> None:
        self.process = stage.sim.process(name)
        self.env = self.process.env
        self.counting = CountingStore(stage.inner)
        self.sim_store = SimStore(self.process, self.counting, faults)
        self.ns: CoreNamespace = CoreStore(self.sim_store, self.process.env).namespace("ops")
        self.ns._proved = True

    def does(self, work: Coroutine[Any, Any, Any]) -> Actor:
        return self.process.spawn(work)

    @property
    def hook(self) -> Callable[[Request], None] | None:
        return self.sim_store.on_call

    @hook.setter
    def hook(self, hook: Callable[[Request], None] | None) -> None:
        self.sim_store.on_call = hook

    async def put(self, key: str, data: bytes) -> None:
        await self.ns.put(Put(key=key, data=data))

    async def value(self, key: str) -> bytes | None:
        entry = await self.ns.get(key)
        return await self.ns.read(key) if entry else None


class Stage:
    """Several players over one store."""

    def __init__(self, seed: int = 0, faults: Faults = CALM) -> None:
        self.sim = Sim(seed)
        played.append(self)
        self.inner = MemoryStore(self.sim.process("store").env, url=f"memory://stage-{seed}")
        self.faults = faults

    def player(self, name: str, faults: Faults | None = None) -> Player:
        return Player(self, name, faults or self.faults)

    def does(self, work: Coroutine[Any, Any, Any], seconds: float = 100_000.0) -> Any:
        """Run ``work`` as a process of its own to its end, and give its result."""
        return self.ends(self.sim.process("one").spawn(work), seconds)

    def ends(self, actor: Actor, seconds: float = 100_000.0) -> Any:
        """Run until ``actor`` has ended; its result."""
        self.sim.run(seconds=seconds, until=actor)
        assert actor.done, f"{actor.name} did not end within {seconds} s"
        if actor.error is not None:
            raise actor.error
        return actor.result

    def compact(self, player: Player, *, full: bool = True) -> Any:
        return self.ends(player.does(player.ns.compact(full=full)))

    def sweep_log(self, player: Player) -> None:
        """Fold, let the grace pass, and delete what the root covers."""
        for _ in range(3):
            self.compact(player)
            self.ends(player.does(player.env.sleep(60)))
        self.compact(player)

    def names(self, prefix: str = "ops/") -> list[str]:
        return [item.name for item in drive(self.inner.list(prefix, limit=1_000_000)).items]

    def overwrite(self, name: str, body: bytes) -> None:
        drive(self.inner.put(name, body, Overwrite()))

    def body(self, name: str) -> bytes:
        got: bytes = drive(self.inner.get(name)).body
        return got


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """Finish what never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


__all__ = ["CALM", "Compactor", "Faults", "Player", "Process", "Stage", "drive"]
