"""A disk that may lose its power: every change of a folder is noted, and any moment can be rebuilt as a crash leaves it.

Between two syncs a disk may keep or lose whatever it likes: the name of a new file, its contents, the removal of a name,
each by itself. Only what ``fsync`` was told of (a file: its contents; a folder: the names in it, not the way to it) is
there for certain. Real file systems lose less.

Invariants: a rebuilt folder holds nothing that was not written; what was synced before the moment is in it, unless it was
changed after its sync.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Event = tuple[Any, ...]
ROOT = 0
_LARGE = 1 << 24
"""A file of this size is a lane file: of what these tests write nothing else is."""
CALLS = ("open", "mkdir", "link", "replace", "rename", "unlink", "remove", "rmdir", "close", "fsync", "fdatasync")


class Ledger:
    """Watches ``root``. ``events``: names added and removed, contents written and kept, folders synced, and notes."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.events: list[Event] = []
        self._tree: dict[int, dict[str, int]] = {ROOT: {}}
        self._nodes = 1
        self._open: dict[int, int] = {}

    def note(self, *what: Any) -> None:
        """What the workload knows at this moment."""
        self.events.append(("note", *what))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Every change of the folder that is made through ``os`` in this block is noted."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._around(getattr(os, name), getattr(self, f"_saw_{name}")))
            yield

    @staticmethod
    def _around(real: Callable[..., Any], saw: Callable[..., None]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            body = _contents(args[0]) if real.__name__ == "close" else None
            result = real(*args, **more)
            saw(result, body, *args)
            return result

        return call

    def _at(self, path: Any) -> tuple[int, str] | None:
        """The folder and the name of a path below the root."""
        text = os.path.normpath(os.fspath(path)) if isinstance(path, str | os.PathLike) else ""
        if not text.startswith(self.root + os.sep):
            return None
        *folders, name = text[len(self.root) + 1 :].split(os.sep)
        folder = ROOT
        for part in folders:
            folder = self._tree[folder][part]
        return folder, name

    def _add(self, at: tuple[int, str], node: int) -> None:
        self._tree[at[0]][at[1]] = node
        self.events.append(("add", *at, node))

    def _drop(self, at: tuple[int, str]) -> None:
        del self._tree[at[0]][at[1]]
        self.events.append(("drop", *at))

    def _new(self, at: tuple[int, str]) -> int:
        self._nodes += 1
        self._add(at, self._nodes - 1)
        return self._nodes - 1

    # --- the calls -----------------------------------------------------------------------------------------------

    def _saw_open(self, fd: int, _: Any, path: Any, *more: Any) -> None:
        self._open.pop(fd, None)
        at = self._at(path)
        if at is not None:
            held = self._tree[at[0]].get(at[1])
            self._open[fd] = self._new(at) if held is None else held
        elif path == self.root:
            self._open[fd] = ROOT

    def _saw_mkdir(self, result: Any, _: Any, path: Any, *more: Any) -> None:
        if at := self._at(path):
            self._tree[self._new(at)] = {}

    def _saw_link(self, result: Any, _: Any, source: Any, target: Any) -> None:
        if (at := self._at(target)) and (was := self._at(source)):
            self._add(at, self._tree[was[0]][was[1]])

    def _saw_replace(self, result: Any, _: Any, source: Any, target: Any) -> None:
        if (at := self._at(target)) and (was := self._at(source)):
            self._add(at, self._tree[was[0]][was[1]])
            self._drop(was)

    def _saw_unlink(self, result: Any, _: Any, path: Any) -> None:
        if at := self._at(path):
            self._drop(at)

    _saw_rename, _saw_remove, _saw_rmdir = _saw_replace, _saw_unlink, _saw_unlink

    def _saw_close(self, result: Any, body: bytes, fd: int) -> None:
        node = self._open.pop(fd, None)
        if node is not None and node not in self._tree:
            self.events.append(("data", node, body))

    def _saw_fsync(self, result: Any, _: Any, fd: int) -> None:
        node = self._open.get(fd)
        if node in self._tree:
            self.events.append(("names", node))
        elif node is not None:
            self.events.append(("kept", node, _contents(fd)))

    _saw_fdatasync = _saw_fsync

    # --- crashes --------------------------------------------------------------------------------------------------

    @property
    def folders(self) -> set[int]:
        """Nodes that are folders."""
        return set(self._tree)

    def notes(self, moment: int) -> list[Event]:
        """The notes up to a moment."""
        return [event[1:] for event in self.events[:moment] if event[0] == "note"]

    def rebuild(self, moment: int, target: Path, luck: Luck) -> None:
        """Make ``target`` what the first ``moment`` events leave after a loss of power."""
        names, bodies = after_power_loss(self.events[:moment], luck)
        _write(target, ROOT, names, bodies, self.folders)


class Luck:
    """What a crash spares of what was not synced: each thing with odds ``spared``."""

    def __init__(self, spared: float, seed: int = 0) -> None:
        self._spared = spared
        self._dice = random.Random(seed)

    def spares(self) -> bool:
        return self._dice.random() < self._spared

    def part(self, body: bytes) -> bytes:
        """How much of a file is there that was written but not synced: all, nothing or a piece."""
        if self.spares():
            return body
        return body[: self._dice.choice([0, 0, len(body) // 2])]


def after_power_loss(events: Sequence[Event], luck: Luck) -> tuple[dict[int, dict[str, int]], dict[int, bytes]]:
    """The names in every folder, and the contents of every file."""
    names: dict[int, dict[str, int]] = defaultdict(dict)
    waiting: dict[int, list[Event]] = defaultdict(list)
    bodies: dict[int, bytes] = {}
    loose: dict[int, bytes] = {}
    for event in events:
        match event:
            case ("add" | "drop", folder, *_):
                waiting[folder].append(event)
            case ("names", folder):
                for change in waiting.pop(folder, []):
                    _apply(names, change)
            case ("kept", node, body):
                bodies[node] = body
                loose.pop(node, None)
            case ("data", node, body):
                if body != bodies.get(node):
                    loose[node] = body
    for changes in waiting.values():
        for change in changes:
            if luck.spares():
                _apply(names, change)
    bodies.update({node: luck.part(body) for node, body in loose.items()})
    return names, bodies


def _apply(names: dict[int, dict[str, int]], change: Event) -> None:
    if change[0] == "add":
        names[change[1]][change[2]] = change[3]
    else:
        names[change[1]].pop(change[2], None)


def _write(
    target: Path, folder: int, names: dict[int, dict[str, int]], bodies: dict[int, bytes], folders: set[int]
) -> None:
    target.mkdir(parents=True)
    for name, node in names.get(folder, {}).items():
        if node in folders:
            _write(target / name, node, names, bodies, folders)
        else:
            (target / name).write_bytes(bodies.get(node, b""))


def _contents(fd: int) -> bytes:
    """What a file holds, without the hole up to a size that was fixed in advance."""
    path = Path(f"/proc/self/fd/{fd}")
    if not path.is_file():
        return b""
    size = path.stat().st_size
    if size < _LARGE:
        return path.read_bytes()
    with path.open("rb") as file:
        return os.pread(file.fileno(), os.lseek(file.fileno(), 0, os.SEEK_HOLE), 0)
