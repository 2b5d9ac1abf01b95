"""Every object name of a namespace is formed and parsed here, and nowhere else.

    <ns>/root                      the one mutable object of the data path
    <ns>/log/s<nn>/<slot>          segment of a shared lane
    <ns>/log/w<writer>/<slot>      segment of a writer's own lane
    <ns>/log/w<writer>/lane        or, on a local disk, the whole lane as one file
    <ns>/l0/<unique>               level-0 run           <ns>/shard/<unique>   shard
    <ns>/blob/<unique>             one large content     <ns>/pack/<unique>    many small contents
    <ns>/pin/<unique>              a long reader's pin   <ns>/saved/<name>     a saved snapshot
    <ns>/eph/<unique>              run of ephemeral entries   <ns>/audit/<unique>   audit archive, or their catalog
    <ns>/audit/parquet/audit_topic=<topic>/audit_day=<day>/<unique>.parquet     audit archive as a Parquet file
    <ns>/queue/<hash of name>/     register, t/<number> tickets, h/<number> heartbeats

Invariants:
- ``parse`` of a formed name gives back what formed it; a foreign name parses to ``None``.
- Slots are 16 hexadecimal digits, so names of a lane sort by slot; shared lanes sort before writers' lanes, so one
  listing of ``<ns>/log/`` has them first.
- A unique name holds its maker's store time and 80 random bits: it is never formed twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from swampstore.values.version import WRITER_BYTES

UniqueKind = Literal["l0", "shard", "eph", "audit", "blob", "pack", "pin"]

COMMIT_LANE = "s00"
LANE_PART = "lane"
"""The last part of a lane file's name."""
_UNIQUE = r"[0-9a-f]{32}"
_LANE = rf"s[0-9]{{2}}|w[0-9a-f]{{{2 * WRITER_BYTES}}}"
_LANE_NAME = re.compile(_LANE)
_SEGMENT = re.compile(rf"({_LANE})/([0-9a-f]{{16}})")
_LANE_FILE = re.compile(rf"(w[0-9a-f]{{{2 * WRITER_BYTES}}})/lane")
_UNIQUE_NAME = re.compile(
    rf"(l0|shard|eph|audit|blob|pack|pin)/({_UNIQUE})"
    rf"|(audit)/(parquet/audit_topic=[A-Za-z0-9_.%-]+/audit_day=[0-9-]{{10}}/{_UNIQUE}\.parquet)"
)


def unique(store_ms: int, dice: bytes) -> str:
    """A name part that nobody forms again: 12 hex digits of store time (ms), 20 of dice."""
    return f"{store_ms:012x}{dice[:10].hex()}"


def unique_ms(part: str) -> int:
    """The store time a unique name part was formed at, in ms."""
    return int(part[:12], 16)


def writer_lane(writer: bytes) -> str:
    return "w" + writer.hex()


def lane_writer(lane: str) -> bytes | None:
    """The writer id of a writer's own lane; ``None`` for a shared lane."""
    return bytes.fromhex(lane[1:]) if lane[0] == "w" else None


def is_lane(lane: str) -> bool:
    """Whether ``lane`` has the form of a shared lane's or a writer's lane's name."""
    return _LANE_NAME.fullmatch(lane) is not None


def shared_lane(number: int) -> str:
    return f"s{number:02d}"


def slot_part(slot: int) -> str:
    """The last part of a segment's name."""
    return f"{slot:016x}"


def is_urgent(name: str) -> bool:
    """Whether an object is small and somebody's turn or lease may hang on it: roots, log, queues, pins."""
    parts = name.split("/", 2)
    return len(parts) > 1 and parts[1] in ("root", "log", "queue", "pin")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one namespace. ``prefix`` is the namespace's name with a slash."""

    namespace: str
    prefix: str = field(init=False, repr=False, compare=False)
    root: str = field(init=False, repr=False, compare=False)
    log: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("prefix", ""), ("root", "root"), ("log", "log/")):
            object.__setattr__(self, name, f"{self.namespace}/{value}")

    def segment(self, lane: str, slot: int) -> str:
        return f"{self.namespace}/log/{lane}/{slot_part(slot)}"

    def parse_segment(self, name: str) -> tuple[str, int] | None:
        """``(lane, slot)`` of a segment's name; ``None`` for anything else."""
        if not name.startswith(self.log):
            return None
        found = _SEGMENT.fullmatch(name, len(self.log))
        if not found:
            return None
        slot = int(found[2], 16)
        return (found[1], slot) if slot else None

    def lane_file(self, lane: str) -> str:
        """The file that holds a writer's whole ``lane`` (local stores)."""
        return f"{self.namespace}/log/{lane}/{LANE_PART}"

    def parse_lane_file(self, name: str) -> str | None:
        """The lane of a lane file's name; ``None`` for anything else."""
        if not name.startswith(self.log):
            return None
        found = _LANE_FILE.fullmatch(name, len(self.log))
        return found[1] if found else None

    def unique(self, kind: UniqueKind, part: str) -> str:
        return f"{self.namespace}/{kind}/{part}"

    def folder(self, kind: UniqueKind) -> str:
        return f"{self.namespace}/{kind}/"

    def parse_unique(self, name: str) -> tuple[str, str] | None:
        """``(kind, unique part)`` of a uniquely named object; ``None`` for anything else."""
        if not name.startswith(self.prefix):
            return None
        found = _UNIQUE_NAME.fullmatch(name, len(self.prefix))
        return (found[1] or found[3], found[2] or found[4]) if found else None

    def is_ours(self, name: str) -> bool:
        """Whether this library may have formed ``name`` in this namespace (and so may delete it with it)."""
        return (
            name == self.root
            or self.parse_segment(name) is not None
            or self.parse_lane_file(name) is not None
            or self.parse_unique(name) is not None
            or name.startswith((self.prefix + "saved/", self.prefix + "queue/"))
        )

    def saved(self, name: str) -> str:
        return f"{self.namespace}/saved/{name}"

    def queue(self, folder: str) -> str:
        """The folder of a queue; ``folder`` is :func:`swampstore.values.tickets.queue_folder` of its name."""
        return f"{self.namespace}/queue/{folder}/"

    @property
    def queues(self) -> str:
        return f"{self.namespace}/queue/"
