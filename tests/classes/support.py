"""The world of the background half, with runtime state in it: the model knows when a key's time is over."""

from __future__ import annotations

from swampstore.env.blocking import run
from swampstore.values.classes import as_ephemeral
from swampstore.values.entry import Entry, Inline, Location, Meta, Packed, put_record, tombstone
from swampstore.workers.uses import find_uses
from tests.workers import world as base

DAY_S = base.DAY_S
Crash = base.Crash
blob, packed = base.blob, base.packed


class Process(base.Process):
    """One process that writes indexed entries (``put``) and runtime state (``state``)."""

    def state(self, *keys: str, value: bytes = b"", ttl: float = 3600.0, at: Location | None = None) -> bytes:
        """Put runtime state; the model follows. Returns the last version."""
        world = self._world
        assert isinstance(world, World)
        world.tick()
        expires = self.place.clock.now_ms() + round(ttl * 1000)
        meta = Meta(size=len(value), at=at or Inline(value))
        records = [as_ephemeral(put_record(key, self.writer.new_version(), meta, expires=expires)) for key in keys]
        for key in keys:
            world.model[key] = value
            world.expires[key] = world.env.wall + round(ttl * 1000)
        return self.append(records)[-1]

    def forget(self, *keys: str) -> None:
        """Delete runtime state as such."""
        self._world.tick()
        for key in keys:
            self._world.model.pop(key, None)
        self.append([as_ephemeral(tombstone(key, self.writer.new_version())) for key in keys])

    def put_all(
        self, values: dict[str, bytes], *, at: Location | None = None, base: bytes | None = None
    ) -> tuple[bytes, ...]:
        for key in values:
            self._world.expires.pop(key, None)  # type: ignore[attr-defined]
        return super().put_all(values, at=at, base=base)

    def get(self, key: str) -> Entry | None:
        return run(run(self.reader.open()).get(key))

    def round(self) -> None:
        run(self.compactor.round(stay=False, insist=True, full=True))


class World(base.World):
    """``expires`` maps keys of the model to when they are over (ms)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.expires: dict[str, int] = {}

    def process(self, env: object = None) -> Process:
        return Process(self)

    def live(self) -> dict[str, bytes]:
        now = self.env.wall
        return {key: value for key, value in self.model.items() if self.expires.get(key, now + 1) > now}

    def check(self) -> None:
        """A reader that has seen nothing finds exactly what is live, by scan and by key."""
        live = self.live()
        assert self.found() == live
        snapshot = run(self.process().reader.open())
        for key in self.model:
            entry = run(snapshot.get(key))
            assert (entry is not None) == (key in live), key

    def check_whole(self) -> None:
        """What the root names is there; contents of live entries are there; packs are counted as they are named."""
        process = self.process()
        root = process.root
        there = set(self.store.names())
        assert {f"ns/{ref.name}" for ref in root.runs} <= there
        entries = run(run(process.reader.open()).page()).entries
        named = {f"{_kind(entry)}/{entry.meta.at.unique}" for entry in entries if hasattr(entry.meta.at, "unique")}
        assert {f"ns/{name}" for name in named} <= there
        packs = [f"pack/{part}" for part in root.packs]
        if packs:
            used = run(find_uses(process.place, process.register, packs)).named
            assert used >= set(packs), "a pack is counted that nothing names"


def _kind(entry: Entry) -> str:
    return "pack" if isinstance(entry.meta.at, Packed) else "blob"
