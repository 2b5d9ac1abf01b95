"""Versions that were changed in the tree and are past their lifetime before a sync has met the change. Pure.

They are never pushed, so nothing may wait for their push: such a change would win over the other side at every sync and
never come there, or what it has replaced would live on there for ever.

Invariants:
- What the other side has changed wins both files; what lies here is kept beside it, like any other loser.
- What was deleted and made anew here takes what it has replaced along: the other side ends with what it would hold had the
  change been synced while it lived.
- What was only edited is left alone where the other side has not changed it: an import lets versions that have ended be
  read for a while, and an edit of their tags is no reason to end that sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from swampstore.values.data import version_folder
from swampstore.workers.sync.decide import NEEDS_BOTH, Action
from swampstore.workers.sync.plan import Item

_COMES = NEEDS_BOTH | {Action.PULL, Action.PULL_REVIVED}


def give_way(items: Sequence[Item], has_ended: Callable[[str], bool]) -> list[Item]:
    """The plan with changes that have ended turned; ``has_ended`` tells of the version in a folder of the tree."""
    changed = {version_folder(item.key) for item in items if _is_change(item)}
    ended: dict[str, list[Item]] = {folder: [] for folder in changed if folder is not None and has_ended(folder)}
    if not ended:
        return list(items)
    for item in items:
        folder = version_folder(item.key)
        if folder in ended:
            ended[folder].append(item)
    turned = {item.key: item for files in ended.values() for item in _turned(files)}
    return [turned.get(item.key, item) for item in items]


def _is_change(item: Item) -> bool:
    return item.action in NEEDS_BOTH or (item.action is Action.PUSH and item.row is not None)


def _turned(files: Sequence[Item]) -> list[Item]:
    changes = [item for item in files if _is_change(item)]
    if any(item.action in _COMES for item in files):
        return [_loses(item) for item in changes]
    if len(changes) == 2:
        return [msgspec.structs.replace(item, action=Action.DELETE_REMOTE, found=None) for item in changes]
    return []


def _loses(item: Item) -> Item:
    comes = item.remote or item.row
    return msgspec.structs.replace(item, action=Action.REMOTE_WINS, down_bytes=comes.size if comes is not None else 0)
