"""What import and sync need of a namespace: the client's core has this shape; workers do not import the client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from swampstore.errors import SwampError
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot
from swampstore.protocols.writer import Ack
from swampstore.values.deltas import Delta
from swampstore.values.entry import Entry
from swampstore.workers.report import CompactReport


class Target(Protocol):
    """One namespace of an open store, for reading and appending."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> Place: ...

    async def append(self, deltas: Sequence[Delta]) -> Ack:
        """Append ``deltas`` as one atomic batch; contents are uploaded first."""
        ...

    async def snapshot(self, *, max_age: float = 0.0) -> Snapshot: ...

    async def read(self, key: str) -> bytes: ...

    def stream(self, key: str) -> AsyncIterator[bytes]: ...

    async def read_entries(self, entries: Sequence[Entry]) -> Sequence[bytes | SwampError]: ...

    async def compact(self, *, full: bool = True) -> CompactReport: ...


class Progress(Protocol):
    """Told now and then how far a long piece of work is. ``total`` is 0 while it is not known."""

    def __call__(self, phase: str, done: int, total: int) -> None: ...


def silent(phase: str, done: int, total: int) -> None:
    """A :class:`Progress` for nobody."""
