"""Small puts of many tasks in one batch: those of one turn of the loop are stamped, packed and written together.

Hundreds of callers share what a put of its own would pay for alone: the clock, the stamp, the frame.

Invariants: puts are stamped in the order in which they came, and before whatever this process stamps after them
(:meth:`LaneWriter.seal`); a put whose key is refused is in no batch; a batch fits into one frame.
"""

from __future__ import annotations

from swampstore.protocols.lane_writer import Batch, LaneWriter
from swampstore.protocols.place import Place
from swampstore.protocols.writer import Ack
from swampstore.values.plain_put import plain_puts


class Gathered(Batch):
    """The puts of one turn: ``keys``, which are valid, and ``contents``. Sealed, they have ``versions``."""

    __slots__ = ("_boot", "_clock", "_files", "contents", "encode_s", "keys", "versions")

    def __init__(self, place: Place, files: LaneWriter) -> None:
        super().__init__(b"", 0)
        self._boot, self._clock, self._files = place.env.boot, place.clock, files
        self.keys: list[str] = []
        self.contents: list[bytes] = []
        self.versions: list[bytes] = []
        self.encode_s = 0.0

    @property
    def callers(self) -> int:
        return len(self.keys)

    def seal(self) -> None:
        """See :meth:`Batch.seal`: stamp the puts and make their records, once."""
        files = self._files
        if files.gathering is self:
            files.gathering = None
        if self.versions:
            return
        began = self._boot()
        keys = [key.encode() for key in self.keys]
        now, first = self._clock.stamp_at(began, len(keys))
        self.versions, self.body = plain_puts(keys, self.contents, first, files.writer_id, now)
        self.count = len(keys)
        self.encode_s = self._boot() - began

    def ack(self, at: int, began: float, now: float) -> Ack:
        """The ack of put number ``at``, whose caller came at ``began`` and goes on at ``now``; as :meth:`phases` says."""
        done = self.written
        assert done is not None
        lane, end, shared, open_s, write_s, ended = done
        encode_s = self.encode_s
        waited = ended - write_s - open_s - encode_s - began
        phases = {
            "encode": encode_s,
            "group_wait": max(0.0, waited),
            "open": open_s,
            "log_write": write_s,
            "ack": now - ended,
        }
        return Ack(lane, end, (self.versions[at],), phases, self._files.durable, shared_by=shared)


def gather(place: Place, files: LaneWriter) -> Gathered:
    """What the next puts of this turn are gathered in."""
    files.seal()
    batch = files.gathering = Gathered(place, files)
    files.group.submit(batch)
    return batch
