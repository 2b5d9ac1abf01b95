"""The two files of a version move together: what is planned for one of them follows the other. Pure.

Invariants:
- A version that one side changed survives whole: no deletion takes its other file away.
- Where a folder is in conflict, one side wins both files: contents never meet the metadata of others.
- Two machines that made the same number each keep their version: such folders are set apart (:class:`Clash`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from swampstore.values.data import METADATA, RAW, version_folder
from swampstore.workers.sync.decide import NEEDS_BOTH, Action
from swampstore.workers.sync.plan import Item

_LOCAL = frozenset({Action.PUSH, Action.PUSH_REVIVED, Action.LOCAL_WINS})
_REMOTE = frozenset({Action.PULL, Action.PULL_REVIVED, Action.REMOTE_WINS})


class Clash(msgspec.Struct, frozen=True):
    """A folder that was made on both sides, each without knowing of the other; what was planned for its files."""

    folder: str
    items: tuple[Item, ...]


def arrange(items: Sequence[Item], movable: Callable[[str], bool]) -> tuple[list[Item], list[Clash]]:
    """``(items, clashes)``: the plan with the files of each version in step, and the folders that clash.

    ``movable`` says whether the version in a folder of the tree can be given another number; if not, its files are
    settled one by one like any other.
    """
    folders: dict[str, dict[str, Item]] = {}
    for item in items:
        folder = version_folder(item.key)
        if folder is not None:
            folders.setdefault(folder, {})[item.key.rpartition("/")[2]] = item
    changed: dict[str, Item] = {}
    clashes: dict[str, Clash] = {}
    for folder, files in folders.items():
        if _clash(files) and movable(folder):
            clashes[folder] = Clash(folder, tuple(files.values()))
        elif len(files) == 2:
            changed.update((item.key, item) for item in _in_step(files[RAW], files[METADATA]))
    if not changed and not clashes:
        return list(items), []
    kept = [changed.get(item.key, item) for item in items if version_folder(item.key) not in clashes]
    return kept, list(clashes.values())


def _clash(files: dict[str, Item]) -> bool:
    met = any(item.action in NEEDS_BOTH for item in files.values())
    return met and all(item.row is None for item in files.values())


def _in_step(one: Item, other: Item) -> list[Item]:
    """The two items, a deletion or a winner among them turned to go with the other."""
    return [_beside(one, other), _beside(other, _beside(one, other))]


def _beside(item: Item, other: Item) -> Item:
    if item.action is Action.DELETE_LOCAL and other.action in _LOCAL:
        return msgspec.structs.replace(item, action=Action.PUSH_REVIVED)
    if item.action is Action.DELETE_REMOTE and other.action is Action.PULL_REVIVED:
        return msgspec.structs.replace(item, action=Action.PULL_REVIVED)
    if item.action in NEEDS_BOTH and other.action in _LOCAL:
        return msgspec.structs.replace(item, action=Action.LOCAL_WINS)
    if item.action in NEEDS_BOTH and other.action in _REMOTE:
        return msgspec.structs.replace(item, action=Action.REMOTE_WINS)
    return item
