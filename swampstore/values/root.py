"""The root: the one mutable object of a namespace, replaced only by compare-and-swap.

It names everything readers need: which slots of which lanes are folded, and the immutable objects that hold them.

Invariants (checked by :func:`check_successor` before every CAS):
- Versions rise by one; watermarks, epoch and floors never go back; a watermark is dropped only at the retire floor.
- Shards are in key order and do not overlap; no name is in use and in garbage at once.
- Every root has its own nonce: an S3 ETag is a hash of contents, and identical bytes would let an old ETag match.

The garbage list of a busy namespace is most of its root, and only who compacts or sweeps wants it: it stays encoded until
it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

from swampstore.errors import CorruptObject, Inconsistent, TooLarge
from swampstore.limits import (
    MIB,
    ROOT_FREE_ITEMS,
    ROOT_PLAIN_BYTES,
    ROOT_RAW_BYTES,
    ROOT_STORED_PER_ITEM,
    SETTINGS_BYTES,
    SHARED_LANES,
)
from swampstore.values.bounds import check_versions, count_of
from swampstore.values.entry import Record
from swampstore.values.frame import UNREADABLE, Kind, pack, unpack
from swampstore.values.names import is_lane, lane_writer
from swampstore.values.soonest import UNSAID, Soonest
from swampstore.values.summary import NOTHING, Summary
from swampstore.values.version import writer_birth

FORMAT = 1


class Leader(msgspec.Struct, frozen=True):
    """Who folds. ``who`` is readable (host, pid); ``id`` is unique per compactor."""

    id: str
    epoch: int
    who: str = ""


class RunRef(msgspec.Struct, frozen=True, array_like=True):
    """A level-0 run or a shard: an immutable sorted object. Keys are inclusive; ``expires`` is the earliest, 0 = none.

    ``index_at`` is where its block index begins; ``digest`` the SHA-256 of the object; ``sum`` the record sum;
    ``summary`` says what retention may have to do in it, ``soonest`` where in it lies what expires first.
    """

    first: str
    last: str
    name: str
    size: int
    index_at: int
    count: int
    tombstones: int
    digest: bytes
    sum: int
    expires: int
    summary: Summary = NOTHING
    soonest: Soonest = UNSAID


class Garbage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``name`` (``<kind>/<unique>``) is unused since root version ``since``.

    ``time`` is the store's time (ms) when that version was published; in that version itself only a lower bound of it.
    """

    name: str
    since: int
    time: int


NO_GARBAGE = msgspec.Raw(b"\x90")
"""The empty list of garbage, encoded."""


class Quarantined(msgspec.Struct, frozen=True, array_like=True):
    """A segment the fold passed over, and why. Neither it nor what it may name is ever deleted."""

    name: str
    reason: str
    time: int


class Settling(msgspec.Struct, frozen=True, array_like=True):
    """Watermarks of an earlier root version, and when that version was published (the store's time of its write).

    What they cover may be deleted once the delete grace has passed since ``time``.
    """

    time: int
    watermarks: dict[str, int]


class Proved(msgspec.Struct, frozen=True):
    """That this store was seen to refuse both broken preconditions: when (store's time, ms), by which test."""

    time: int
    version: int = 1


class SlotId(msgspec.Struct, frozen=True, array_like=True):
    """A folded slot of a shared lane and the first 8 bytes of its write id."""

    slot: int
    id: bytes


class Ephemeral(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where runtime state lies: what is new or little in ``inline``, the rest in ``runs`` (``eph/...``), by key."""

    inline: tuple[Record, ...] = ()
    runs: tuple[RunRef, ...] = ()


class Fresh(msgspec.Struct, frozen=True, array_like=True):
    """An archive that a fold wrote, and the first and last root version that took in what it holds."""

    run: RunRef
    first_fold: int
    last_fold: int


class Audit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where audit records lie: the newest ``inline``, then in ``fresh`` archives (all topics mixed, in fold order), then
    in archives of one topic and time each, which only the ``catalog`` names (runs by time and topic).

    ``sorted`` is the last root version whose records lie in an archive of the catalog; ``records`` and ``bytes`` are
    totals of the archives there. ``problem`` says why the last compactor could not sort; empty when all is well.
    """

    inline: tuple[Record, ...] = ()
    fresh: tuple[Fresh, ...] = ()
    catalog: tuple[RunRef, ...] = ()
    sorted: int = 0
    records: int = 0
    bytes: int = 0
    problem: str = ""

    @property
    def runs(self) -> tuple[RunRef, ...]:
        """The runs that the root names itself: fresh archives and the catalog."""
        return (*(one.run for one in self.fresh), *self.catalog)


class Root(msgspec.Struct, frozen=True, omit_defaults=True):
    """See the module. ``version`` counts from 1; a namespace without a root is version 0 (:data:`NO_ROOT`).

    ``hlc`` is the highest hybrid time of any version folded so far, so that who reads the root stamps above it. ``born`` is
    the nonce of the first root of this namespace: one that was deleted and made anew has another. Empty in roots of
    programs that did not write it yet: then nothing is known.
    """

    version: int
    nonce: bytes
    nonces: tuple[bytes, ...] = ()
    born: bytes = b""
    proof: Proved | None = None
    leader: Leader | None = None
    epoch: int = 0
    hlc: int = 0
    watermarks: dict[str, int] = {}
    closed: tuple[str, ...] = ()
    settling: Settling | None = None
    retire_floor: int = 0
    sweep_floor: int = 0
    shared_lanes: int = SHARED_LANES
    shared: dict[str, tuple[SlotId, ...]] = {}
    inline: tuple[Record, ...] = ()
    level0: tuple[RunRef, ...] = ()
    shards: tuple[RunRef, ...] = ()
    packs: dict[str, int] = {}
    garbage_raw: msgspec.Raw = msgspec.field(name="garbage", default=NO_GARBAGE)
    quarantine: tuple[Quarantined, ...] = ()
    settings: dict[str, Any] = {}
    eph: Ephemeral = Ephemeral()
    audit: Audit = Audit()

    @property
    def garbage(self) -> tuple[Garbage, ...]:
        """Decoded anew each time, so that no root held keeps it. Raises ``CorruptObject``."""
        try:
            return _decode_garbage(self.garbage_raw)
        except UNREADABLE as error:
            raise CorruptObject(f"the garbage list of root version {self.version}: {error}") from error

    @property
    def entries(self) -> int:
        """Records in the manifest, tombstones and shadowed level-0 records included."""
        return sum(run.count for run in self.shards) + sum(run.count for run in self.level0) + len(self.inline)

    @property
    def runs(self) -> tuple[RunRef, ...]:
        """Every run that this root names itself, whatever it holds."""
        return (*self.level0, *self.shards, *self.eph.runs, *self.audit.runs)

    def watermark(self, lane: str) -> int:
        return self.watermarks.get(lane, 0)

    def retired(self, lane: str) -> bool:
        """Whether a writer's lane without a watermark was retired (its segments are inert) rather than new."""
        return lane not in self.watermarks and lane_birth(lane) <= self.retire_floor


@lru_cache(maxsize=4096)
def lane_birth(lane: str) -> float:
    """When (ms) the writer of ``lane`` was born; later than ever for a lane that many share. Asked in every read."""
    writer = lane_writer(lane)
    return math.inf if writer is None else writer_birth(writer)


NO_ROOT = Root(version=0, nonce=b"")

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Root).decode
_decode_garbage = msgspec.msgpack.Decoder(tuple[Garbage, ...]).decode
_FREE_RAW_BYTES = 8 * MIB
_RAW_PER_STORED = 64
"""A root decodes to at most that many times its stored size: hashes and names do not compress."""
_LANES = 100
"""Shared lanes that names can tell apart."""


class _Within(msgspec.Struct, frozen=True):
    """An ``eph`` or ``audit`` of which only the counts are wanted."""

    inline: msgspec.Raw = msgspec.Raw()
    runs: msgspec.Raw = msgspec.Raw()
    fresh: msgspec.Raw = msgspec.Raw()
    catalog: msgspec.Raw = msgspec.Raw()


class _Sketch(msgspec.Struct, frozen=True):
    """A root of which only the counts are wanted."""

    nonces: msgspec.Raw = msgspec.Raw()
    watermarks: msgspec.Raw = msgspec.Raw()
    closed: msgspec.Raw = msgspec.Raw()
    settling: tuple[int, msgspec.Raw] | None = None
    shared: msgspec.Raw = msgspec.Raw()
    inline: msgspec.Raw = msgspec.Raw()
    level0: msgspec.Raw = msgspec.Raw()
    shards: msgspec.Raw = msgspec.Raw()
    packs: msgspec.Raw = msgspec.Raw()
    garbage: msgspec.Raw = msgspec.Raw()
    quarantine: msgspec.Raw = msgspec.Raw()
    settings: msgspec.Raw = msgspec.Raw()
    eph: _Within = _Within()
    audit: _Within = _Within()


_decode_sketch = msgspec.msgpack.Decoder(_Sketch).decode
_decode_lanes = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode


def garbage_list(garbage: Collection[Garbage]) -> msgspec.Raw:
    """What ``Root.garbage_raw`` holds for these items."""
    return msgspec.Raw(_encode(tuple(garbage))) if garbage else NO_GARBAGE


def encode_root(root: Root) -> bytes:
    raw = _encode(root)
    if len(raw) > ROOT_RAW_BYTES:
        raise TooLarge(f"a root of {len(raw)} bytes exceeds {ROOT_RAW_BYTES}", hint="run: swamp datastore compact")
    return pack(Kind.ROOT, FORMAT, raw)


def decode_root(data: bytes, name: str) -> Root:
    """Raises ``CorruptObject`` or ``UnknownFormat``, naming the object, and nothing else."""
    _, raw = unpack(
        Kind.ROOT, FORMAT, data, name, min(ROOT_RAW_BYTES, max(_FREE_RAW_BYTES, len(data) * _RAW_PER_STORED))
    )
    try:
        broken = too_many(raw, len(data)) if len(raw) > ROOT_PLAIN_BYTES else ""
        if broken:
            raise CorruptObject(f"{name}: {broken}", name=name)
        root = _decode(raw)
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    for held in (root.inline, root.eph.inline, root.audit.inline):
        check_versions(held, name)
    broken = root_problem(root)
    if broken:
        raise CorruptObject(f"{name}: {broken}", name=name)
    return root


def too_many(raw: bytes, stored: int) -> str:
    """Why a root of ``stored`` bytes that decodes to ``raw`` cannot be one, by what it claims to hold; or nothing."""
    sketch = _decode_sketch(raw)
    if len(memoryview(sketch.settings)) > 2 * SETTINGS_BYTES:
        return f"settings of {len(memoryview(sketch.settings))} bytes"
    if count_of(sketch.shared) > _LANES:
        return f"{count_of(sketch.shared)} shared lanes"
    parts = [*_raws(sketch), *_raws(sketch.eph), *_raws(sketch.audit)]
    parts += _decode_lanes(sketch.shared).values() if count_of(sketch.shared) else ()
    parts += [sketch.settling[1]] if sketch.settling else []
    items = sum(map(count_of, parts))
    if items > max(ROOT_FREE_ITEMS, stored // ROOT_STORED_PER_ITEM):
        return f"{items} items in {stored} bytes"
    return ""


def _raws(sketch: msgspec.Struct) -> list[msgspec.Raw]:
    held = (getattr(sketch, field) for field in sketch.__struct_fields__)
    return [part for part in held if isinstance(part, msgspec.Raw)]


def root_problem(root: Root) -> str:
    """Which invariant a single root breaks, or the empty string."""
    if root.version < 1 or not root.nonce:
        return "a root without version or nonce"
    for ordered in (root.shards, root.eph.runs, root.audit.catalog):
        for before, after in pairwise(ordered):
            if before.last >= after.first:
                return f"shards {before.name} and {after.name} overlap or are out of order"
    if any(run.first > run.last or run.count < 1 for run in root.runs):
        return "a run with an empty or inverted key range"
    used = [run.name for run in root.runs]
    if len(set(used)) != len(used):
        return "one object is named twice"
    if any(count < 0 for count in root.packs.values()):
        return "a pack with a negative member count"
    if any(slot < 1 for slot in root.watermarks.values()):
        return "a watermark below 1"
    for lane in root.watermarks:
        if not is_lane(lane):
            return f"a watermark of {lane!r}, which is not a lane"
    return ""


def check_successor(old: Root, new: Root) -> None:
    """Raise ``Inconsistent`` if ``new`` may not follow ``old``."""
    problem = root_problem(new) or successor_problem(old, new)
    if problem:
        raise Inconsistent(f"refused to publish root version {new.version}: {problem}")


def successor_problem(old: Root, new: Root) -> str:
    """Which invariant the step from ``old`` to ``new`` breaks, or the empty string."""
    if new.version != old.version + 1:
        return f"version {old.version} is followed by {new.version}"
    both = {item.name for item in new.garbage}.intersection(run.name for run in new.runs)
    if both:
        return f"{min(both)} is in use and in garbage"
    if new.nonce == old.nonce or new.nonce in old.nonces:
        return "the nonce was used before"
    if old.born not in (b"", new.born):
        return "it belongs to another life of the namespace"
    if (
        new.epoch < old.epoch
        or new.hlc < old.hlc
        or new.retire_floor < old.retire_floor
        or new.sweep_floor < old.sweep_floor
        or new.audit.sorted < old.audit.sorted
    ):
        return "an epoch, clock or floor goes back"
    for lane, slot in old.watermarks.items():
        now = new.watermarks.get(lane)
        if now is None:
            writer = lane_writer(lane)
            if writer is None or writer_birth(writer) > new.retire_floor:
                return f"the watermark of lane {lane} is dropped above the retire floor"
        elif now < slot:
            return f"the watermark of lane {lane} goes back from {slot} to {now}"
    for name in old.quarantine:
        if name not in new.quarantine:
            return f"{name.name} left the quarantine"
    return ""
