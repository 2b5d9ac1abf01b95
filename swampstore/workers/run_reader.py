"""Whole runs, one after the other, several read side by side within a bound; the digest of each is checked."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from swampstore.limits import MIB
from swampstore.protocols.place import Place
from swampstore.protocols.runs import run_body
from swampstore.stores.base import Get
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, decode_run

_READ_BYTES = 48 * MIB
"""Stored bytes read side by side (always at least one run)."""

StoredBlock = tuple[BlockInfo, bytes]


class RunReader:
    """Hands out the stored blocks of ``refs``, run by run, in their order."""

    def __init__(self, place: Place, refs: Sequence[RunRef]) -> None:
        self._place = place
        self._refs = deque(refs)
        self._ready: deque[list[StoredBlock]] = deque()

    async def next(self) -> list[StoredBlock]:
        """The blocks of the next run. Raises ``RunGone`` or ``CorruptObject``."""
        if not self._ready:
            batch = [self._refs.popleft()]
            while self._refs and sum(ref.size for ref in batch) + self._refs[0].size <= _READ_BYTES:
                batch.append(self._refs.popleft())
            answers = await self._place.store.many([Get(self._place.full(ref.name)) for ref in batch])
            for ref, answer in zip(batch, answers, strict=True):
                name = self._place.full(ref.name)
                self._ready.append(list(decode_run(ref, run_body(answer, name), name)))
        return self._ready.popleft()
