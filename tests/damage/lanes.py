"""A namespace whose writers' lanes are files on a disk, some of which are damaged; and what must be left of them.

What must hold is worked out from what was acknowledged and from the bytes that lie there: what is folded stays, of each file
counts what is whole behind the watermark, up to the first frame that is not; what is whole further on counts once the doctor
has brought it back. Nothing else is ever read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from swampstore import Namespace
from swampstore.env.blocking import run
from swampstore.errors import NotFound
from swampstore.stores.base import Got
from swampstore.stores.local import LocalStore
from swampstore.values.deltas import Delete, Delta, Put
from swampstore.values.lane_file import HEADER_BYTES
from swampstore.values.names import Names
from swampstore.values.root import NO_ROOT, Root, decode_root
from tests.golden.store import NAMESPACE, GoldenEnv, opened

HOUR_S = 3600.0
NAMES = Names(NAMESPACE)
_USED_BYTES = 1 << 17
"""All frames of a lane lie within so much here."""


class Frame(NamedTuple):
    """What one append wrote. ``records``: version, key, contents."""

    start: int
    body: bytes
    records: tuple[tuple[bytes, str, bytes | None], ...]

    @property
    def end(self) -> int:
        return self.start + len(self.body)

    def whole(self, file: bytes) -> bool:
        """Whether it lies in ``file`` as it was written."""
        return file[self.start : self.end] == self.body


class LaneWorld:
    """See the module. ``frames`` are those of each lane, as acknowledged."""

    def __init__(self, folder: Path, env: GoldenEnv) -> None:
        self.env = env
        self.folder = folder
        self.store = LocalStore(folder, durable=False, lanes=True)
        self.frames: dict[str, list[Frame]] = {}
        self.keys: dict[str, None] = {}

    def process(self) -> Namespace:
        """A process that has just begun."""
        return opened(LocalStore(self.folder, durable=False, lanes=True), self.env)  # type: ignore[arg-type]

    def put(self, ns: Namespace, items: dict[str, bytes | None]) -> str:
        """One append; its lane."""
        deltas: list[Delta] = [
            Delete(key=key) if data is None else Put(key=key, data=data) for key, data in items.items()
        ]
        ack = ns.append(deltas)
        held = self.frames.setdefault(ack.lane, [])
        start = held[-1].end if held else HEADER_BYTES
        records = tuple((version, *item) for version, item in zip(ack.versions, items.items(), strict=True))
        held.append(Frame(start, self.bytes_of(ack.lane)[start : ack.slot], records))
        self.keys |= dict.fromkeys(items)
        return ack.lane

    def path(self, lane: str) -> Path:
        return self.folder / NAMES.lane_file(lane)

    def bytes_of(self, lane: str) -> bytes:
        """What its file holds; nothing, if there is none."""
        try:
            with self.path(lane).open("rb") as file:
                return file.read(_USED_BYTES)
        except FileNotFoundError:
            return b""

    def edit(self, lane: str, at: int, body: bytes) -> None:
        """The disk holds ``body`` at ``at``, whoever has the file open."""
        with self.path(lane).open("r+b") as file:
            os.pwrite(file.fileno(), body, at)

    def replace(self, lane: str, other: Path) -> None:
        """A copy of ``other`` lies where the file of ``lane`` was."""
        temp = self.folder / "copy"
        shutil.copyfile(other, temp)
        os.replace(temp, self.path(lane))

    def root(self) -> Root:
        try:
            got = run(self.store.get(NAMES.root))
        except NotFound:
            return NO_ROOT
        assert isinstance(got, Got)
        return decode_root(got.body, "root")

    # --- what must hold ------------------------------------------------------------------------------------------

    def counting(self, *, behind: bool = False) -> list[Frame]:
        """The frames that count now; with ``behind``, when what lies behind damage was brought back."""
        root, found = self.root(), list[Frame]()
        for lane, frames in self.frames.items():
            mark, good = root.watermark(lane), True
            body = self.bytes_of(lane)
            for frame in frames:
                whole = frame.whole(body)
                good = good and (whole or frame.end <= mark)
                if frame.end <= mark or (whole and (good or behind)):
                    found.append(frame)
        return found

    def check(self, frames: Sequence[Frame]) -> None:
        """A new process reads what ``frames`` hold, and nothing else."""
        best: dict[str, tuple[bytes, bytes | None]] = {}
        for frame in frames:
            for version, key, data in frame.records:
                best[key] = max(best.get(key, (b"", None)), (version, data), key=lambda pair: pair[0])
        ns = self.process()
        for key in self.keys:
            found: bytes | None = None
            with suppress(NotFound):
                found = ns.read(key)
            wanted = best[key][1] if key in best else None
            assert found == wanted, f"{key} is {str(found)[:40]}, not {str(wanted)[:40]}"
        listed = {entry.key for entry in ns.scan()}
        assert listed == {key for key, (_, data) in best.items() if data is not None}

    def tend(self, hours: float) -> None:
        """Time passes; everything is folded and swept that may be."""
        self.env.advance(hours * HOUR_S)
        self.process().compact()
        self.process().prune(dry_run=False)

    def told(self) -> dict[str, set[str]]:
        """What the doctor says of each lane file."""
        found: dict[str, set[str]] = {}
        for one in self.process().doctor(deep=True, guards=False).findings:
            if one.code.startswith("lane"):
                found.setdefault(one.name.split("/")[-2], set()).add(one.code)
            else:
                assert one.severity != "error", one
        return found

    def mend(self) -> None:
        """The doctor's repair."""
        self.process().repair(dry_run=False, alone=True)
