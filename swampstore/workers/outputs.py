"""The runs a merge writes, shards or of level 0: cut at their size, put side by side, under names that nobody forms again.

Invariants: a shard never begins with a conflict entry whose path could lie in the shard before it; what was put is an
orphan until a root names it.
"""

from __future__ import annotations

from typing import Literal

from swampstore.env.clock import Span
from swampstore.errors import SwampError
from swampstore.limits import MIB, SHARD_TARGET_MAX_BYTES
from swampstore.protocols.place import Place
from swampstore.stores.base import Create, Put, Stored
from swampstore.values.block import Block
from swampstore.values.join import conflict_of
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, RunBuilder
from swampstore.workers.shards import Group

_WRITE_BYTES = 32 * MIB


class Outputs:
    """Takes blocks and groups of records in rising key order, group of shards by group; ``refs`` is what they became."""

    def __init__(self, place: Place, age: Span, kind: Literal["shard", "l0"] = "shard") -> None:
        self._place = place
        self._kind = kind
        self._age = age
        self._builder = RunBuilder()
        self._cuts = 0
        self._piece = 0
        self._waiting: list[Put] = []
        self.refs: list[RunRef] = []

    def begin(self, group: Group) -> None:
        self._cuts, self._piece = group.pieces - 1, group.piece_bytes

    def rows(self, rows: Block) -> None:
        if rows:
            self._cut(rows.keys[0])
            self._builder.add_rows(rows)

    def whole(self, rows: Block) -> None:
        """Take ``rows`` as one block."""
        self._cut(rows.keys[0])
        self._builder.add_whole(rows)

    def block(self, info: BlockInfo, stored: bytes) -> None:
        self._cut(info.first)
        self._builder.add_block(info, stored)

    def end(self) -> None:
        """The group is complete."""
        if not self._builder.empty:
            part, name = self._place.new_object(self._kind)
            ref, data = self._builder.finish(f"{self._kind}/{part}")
            self.refs.append(ref)
            self._waiting.append(Put(name, data, Create()))
            self._builder = RunBuilder()

    def _cut(self, key: str) -> None:
        """Begin a new shard before ``key`` if the one at hand is full."""
        size = self._builder.size
        full = size >= self._piece if self._cuts > 0 else size >= 2 * SHARD_TARGET_MAX_BYTES
        if full and conflict_of(key) is None:
            self._cuts -= 1
            self.end()

    async def write(self, *, all_of_it: bool = False) -> None:
        """Put the shards that are complete, once they are enough to be worth a round."""
        if not self._waiting or (
            sum(ref.size for ref in self.refs[-len(self._waiting) :]) < _WRITE_BYTES and not all_of_it
        ):
            return
        waiting, self._waiting = self._waiting, []
        for answer in await self._place.store.many(waiting):
            if isinstance(answer, SwampError):
                raise answer
            assert isinstance(answer, Stored)
            self._age.saw(answer.time)
