"""Writing down what both sides hold, or hold no more, already: where nothing is to be moved.

There may be very many of these (a state that was lost, a tree whose times were all changed), so they are written while
the plan is made, and not kept.

Invariants:
- A row is written only for contents that were hashed here and are those of the version that it names.
- What concerns one file of a version of data alone stays in the plan: its two files are decided upon together.
"""

from __future__ import annotations

from collections.abc import Iterator

from swampstore.env.base import Env
from swampstore.values.data import version_folder
from swampstore.values.version import just_above
from swampstore.workers.sync.decide import Action
from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.state import Row, State

_AT_ONCE = 5_000


class Notes:
    """Notes of one sync."""

    def __init__(self, state: State, env: Env, options: SyncOptions) -> None:
        self._state = state
        self._env = env
        self._options = options

    def taken(self, items: Iterator[Item]) -> Iterator[Item]:
        """``items`` (in key order) without those that only need a note; these are written on the way."""
        notes: list[Item] = []
        held: Item | None = None
        """The first file of a version, while it is not known whether the second only needs a note too."""
        for item in items:
            alone = item.action is Action.RECORD and (item.remote is None or version_folder(item.key) is None)
            if held is not None:
                both = item.action is Action.RECORD and version_folder(item.key) == version_folder(held.key)
                if both:
                    notes.append(held)
                    alone = True
                else:
                    yield held
                held = None
            if alone:
                notes.append(item)
            elif item.action is Action.RECORD:
                held = item
            else:
                yield item
            if len(notes) >= _AT_ONCE:
                self.write(notes)
                notes = []
        if held is not None:
            yield held
        self.write(notes)

    def write(self, items: list[Item]) -> None:
        """Write ``RECORD`` and ``FORGET`` items down."""
        if not items or self._options.dry_run:
            return
        at_ms = self._env.wall_ms()
        with self._state.transaction():
            for item in items:
                if item.action is Action.FORGET:
                    assert item.row is not None
                    version = item.remote.version if item.remote else just_above(item.row.version)
                    self._state.gone(item.key, max(version, item.row.version), version)
                    continue
                assert item.found is not None
                known = item.remote or item.row
                assert known is not None
                found, sha256 = item.found, item.sha256
                assert sha256 is not None
                row = Row(
                    known.version, found.size, found.mtime_ns, found.inode, sha256, at_ms, known.expires, known.labels
                )
                self._state.synced(item.key, row)
