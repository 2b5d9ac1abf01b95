"""The decision table of sync: what each side did since the last sync decides what to do. Pure.

Invariants:
- A side that did not change never overrides one that did.
- A deletion wins only over an unchanged file; a change always survives a deletion.
- When both changed, both contents survive: one under the path, one beside it.
"""

from __future__ import annotations

from enum import Enum


class Local(Enum):
    """The file, compared with what was last synced (``ABSENT`` and ``NEW``: never synced)."""

    ABSENT = "absent"
    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    MISSING = "missing"


class Remote(Enum):
    """The entry, compared with what was last synced (``ABSENT`` and ``NEW``: never synced)."""

    ABSENT = "absent"
    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"


class Action(Enum):
    """What to do with a path."""

    NOTHING = "nothing"
    PUSH = "push"
    PULL = "pull"
    DELETE_LOCAL = "delete-local"
    DELETE_REMOTE = "delete-remote"
    RECORD = "record"
    """Both sides hold the same contents: write that down."""
    FORGET = "forget"
    """Gone on both sides."""
    PUSH_REVIVED = "push-revived"
    """Changed here, deleted there."""
    PULL_REVIVED = "pull-revived"
    """Deleted here, changed there."""
    LOCAL_WINS = "local-wins"
    REMOTE_WINS = "remote-wins"
    COMPARE = "compare"
    """Both changed and the entry has no hash: read the contents, then decide again."""


_TABLE = {
    (Local.ABSENT, Remote.ABSENT): Action.NOTHING,
    (Local.ABSENT, Remote.NEW): Action.PULL,
    (Local.NEW, Remote.ABSENT): Action.PUSH,
    (Local.SAME, Remote.SAME): Action.NOTHING,
    (Local.SAME, Remote.CHANGED): Action.PULL,
    (Local.SAME, Remote.GONE): Action.DELETE_LOCAL,
    (Local.CHANGED, Remote.SAME): Action.PUSH,
    (Local.CHANGED, Remote.GONE): Action.PUSH_REVIVED,
    (Local.MISSING, Remote.SAME): Action.DELETE_REMOTE,
    (Local.MISSING, Remote.CHANGED): Action.PULL_REVIVED,
    (Local.MISSING, Remote.GONE): Action.FORGET,
}

NEEDS_PUSH = frozenset({Action.PUSH, Action.PUSH_REVIVED, Action.DELETE_REMOTE})
NEEDS_PULL = frozenset({Action.PULL, Action.PULL_REVIVED, Action.DELETE_LOCAL})
NEEDS_BOTH = frozenset({Action.LOCAL_WINS, Action.REMOTE_WINS})


def decide(local: Local, remote: Remote, *, equal: bool | None = None, local_newer: bool = True) -> Action:
    """What to do. ``equal`` says whether both sides hold the same contents (``None``: not known).

    ``local_newer`` breaks the tie when both changed. Raises ``KeyError`` for a pair that cannot be (one side knows of
    an earlier sync and the other does not).
    """
    both_have = local in (Local.NEW, Local.SAME, Local.CHANGED) and remote in (Remote.NEW, Remote.CHANGED)
    if both_have and equal:
        return Action.RECORD
    if (local, remote) in ((Local.CHANGED, Remote.CHANGED), (Local.NEW, Remote.NEW)):
        if equal is None:
            return Action.COMPARE
        return Action.LOCAL_WINS if local_newer else Action.REMOTE_WINS
    return _TABLE[local, remote]
