"""The derived file ``latest``: which version of a datum is the highest that lies in this tree.

Invariants:
- It is written from what lies in the tree, never from an entry; it is right after every sync that touches its datum.
- Its form is kept: a link of an old tree stays a link, to the right folder.
"""

from __future__ import annotations

import os
import stat

from swampstore.env.base import Env
from swampstore.values.data import LATEST, METADATA, RAW, latest_path, parse_ordinal, parse_path
from swampstore.workers.sync.options import TEMP_PREFIX
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.tree import Found, Left, Tree

DERIVED_BYTES = 32
"""A file that says the number of a version is not longer."""


def is_latest(key: str) -> bool:
    """Whether ``key`` has the form of a ``latest``."""
    return key.endswith(f"/{LATEST}") and parse_path(key) is not None


def ordinals(tree: Tree, item: str) -> list[int]:
    """The numbers of the folders below ``item``, whatever they hold, rising."""
    try:
        folder, _ = tree.open_parent(f"{item}/{LATEST}")
        with os.scandir(folder) as found:
            names = [one.name for one in found if one.is_dir(follow_symlinks=False)]
    except OSError:
        return []  # no such folder, or none that can be looked into: no version of this tree
    return sorted(number for name in names if (number := parse_ordinal(name)))


def is_empty(tree: Tree, folder: str) -> bool:
    """Whether nothing lies in ``folder`` (somebody was killed before he could write into it)."""
    try:
        opened, _ = tree.open_parent(f"{folder}/{RAW}")
        with os.scandir(opened) as found:
            return next(found, None) is None
    except OSError:
        return False


def is_version(tree: Tree, folder: str) -> bool:
    """Whether ``folder`` holds a ``metadata.yaml``."""
    try:
        return tree.look(f"{folder}/{METADATA}") is not None
    except Left:
        return False


class Latest:
    """Keeps the file ``latest`` of the data that a sync touches right, in whichever form it is: a file or a link."""

    def __init__(self, tree: Tree, env: Env, report: SyncReport) -> None:
        self._tree = tree
        self._env = env
        self._report = report

    def repair(self, item: str) -> None:
        """Make ``latest`` say the highest version that lies in the tree, or remove it when there is none."""
        highest = next((n for n in reversed(ordinals(self._tree, item)) if is_version(self._tree, f"{item}/{n}")), None)
        try:
            self._repair(item, "" if highest is None else str(highest))
        except FileNotFoundError:
            return  # the folder is gone, or was changed by others in this moment
        except (Left, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._report.skip(latest_path(item), f"it cannot be made to say {highest or 'nothing'}: {reason}")

    def _repair(self, item: str, wanted: str) -> None:
        key = latest_path(item)
        folder, name = self._tree.open_parent(key)
        try:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            mode = 0
        if stat.S_ISLNK(mode):
            self._repair_link(folder, name, wanted)
            return
        if stat.S_ISDIR(mode):
            raise Left("a folder is in the way")
        found = self._tree.look(key) if mode else None
        said = self._said(key, found)
        if (found is None and not wanted) or said == wanted:
            return
        if not wanted:
            if said is not None:
                assert found is not None
                self._tree.remove(key, found)
            return
        with self._tree.temporary(key, 0) as temp:
            temp.write(wanted.encode())
            temp.finish(0)
            temp.place(found)

    def _said(self, key: str, found: Found | None) -> str | None:
        """The number in the file; ``None`` for anything else."""
        if found is None or found.size > DERIVED_BYTES:
            return None
        text = self._tree.read(key, found).decode(errors="replace").strip().removesuffix("/")
        return text if parse_ordinal(text) is not None else None

    def _repair_link(self, folder: int, name: str, wanted: str) -> None:
        said = os.readlink(name, dir_fd=folder).removesuffix("/")
        if said == wanted or parse_ordinal(said) is None:
            return
        if not wanted:
            os.unlink(name, dir_fd=folder)
            return
        temp = TEMP_PREFIX + self._env.random_bytes(8).hex()
        os.symlink(wanted, temp, dir_fd=folder)
        os.rename(temp, name, src_dir_fd=folder, dst_dir_fd=folder)
