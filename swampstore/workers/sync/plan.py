"""The plan: one ordered walk of the tree beside the state, and what to do with each path that needs something.

Files are hashed only when their size, time or inode differ from the state but the size does not, when they were written
about the time the state was (a later change within the clock's grain would not show), or when both sides have changed.

Invariant: what is done with a file rests on a look at it between two looks at the state that show the same. A walk may
have met a folder before, and the state after, another sync of the tree placed a file in it, or the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from swampstore.values.version import put_of
from swampstore.workers.sync.coming import Arrival
from swampstore.workers.sync.decide import NEEDS_BOTH, NEEDS_PULL, NEEDS_PUSH, Action, Local, Remote, decide
from swampstore.workers.sync.options import Scope, SyncOptions
from swampstore.workers.sync.report import Progress, SyncReport
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.state import Beside, RemoteRow, Row, Seen, State
from swampstore.workers.sync.tree import Found, Left, Tree

_RACY_MS = 2_000
_DATA_FILES = ("/latest", "/metadata.yaml")
PassesOver = Callable[[str, Found | None, Row | None, RemoteRow | None], bool]
_TELL_EVERY = 1_000
_SURE_AT_ONCE = 500
_LOOKS = 5


class Item(msgspec.Struct, frozen=True, gc=False):
    """One path and what to do with it; plain pulls leave out ``remote``. ``sha256`` is that of the file where it had to be computed."""

    key: str
    action: Action
    found: Found | None = None
    row: Row | None = None
    remote: RemoteRow | None = None
    sha256: bytes | None = None
    down_bytes: int = 0
    """Contents that come down."""


class Planner:
    """``now_ms`` is the store's time, against which entries expire; ``passes_over`` says what is derived, not synced."""

    def __init__(
        self,
        state: State,
        tree: Tree,
        scan: Scan,
        scope: Scope,
        options: SyncOptions,
        report: SyncReport,
        now_ms: int,
        passes_over: PassesOver,
    ) -> None:
        self._state = state
        self._tree = tree
        self._scan = scan
        self._scope = scope
        self._options = options
        self._report = report
        self._now_ms = now_ms
        self._passes_over = passes_over

    def items(self, progress: Progress, prefixes: Sequence[str]) -> Iterator[Item]:
        """What to do under ``prefixes``, in key order; paths with nothing to do are counted."""
        return self._sure(self._walked(progress, prefixes))

    def _walked(self, progress: Progress, prefixes: Sequence[str]) -> Iterator[Item]:
        seen = 0
        for prefix in prefixes:
            for key, found, row, remote in self._side_by_side(prefix):
                seen += 1
                if seen % _TELL_EVERY == 0:
                    progress("scan", seen, 0, 0)
                item = self._item(key, found, row, remote)
                if item is not None:
                    yield item

    def points(self, known: Iterable[Beside]) -> Iterator[Item]:
        """What to do at these paths, each looked at by itself: nothing is walked."""
        return self._sure(self._at(known))

    def _at(self, known: Iterable[Beside]) -> Iterator[Item]:
        for key, row, remote in known:
            if self._scope.excludes(key):
                continue
            try:
                found = self._tree.look(key, past_folders=True)
            except Left as reason:
                if not (key.endswith(_DATA_FILES) and self._passes_over(key, None, row, remote)):
                    self._report.skip(key, str(reason))
                continue
            item = self._item(key, found, row, remote)
            if item is not None:
                yield item

    def _sure(self, items: Iterator[Item]) -> Iterator[Item]:
        """``items`` as one moment shows them. A new file to pull is safe without: it never replaces anything."""
        while batch := list(islice(items, _SURE_AT_ONCE)):
            sure = {item.key: item for item in batch if item.found is None and item.row is None}
            doubtful = [item for item in batch if item.key not in sure]
            for _ in range(_LOOKS):
                doubtful = self._look_again(doubtful, sure)
                if not doubtful:
                    break
            for item in doubtful:
                self._report.skip(item.key, "other syncs of this tree are changing it")
            yield from (sure[item.key] for item in batch if item.key in sure)

    def _look_again(self, items: Sequence[Item], sure: dict[str, Item]) -> list[Item]:
        """Put what is to be done with ``items`` into ``sure``; returns those that changed meanwhile."""
        keys = [item.key for item in items]
        before = self._state.seen(keys) if keys else {}
        found = {item.key: self._found(item) for item in items}
        after = self._state.seen(keys) if keys else {}
        for item in items:
            if before[item.key] == after[item.key]:
                again = self._again(item, found[item.key], after[item.key])
                if again is not None:
                    sure[item.key] = again
        return [item for item in items if before[item.key] != after[item.key]]

    def _found(self, item: Item) -> Found | Left | None:
        try:
            return self._tree.look(item.key, past_folders=True)
        except Left as reason:
            return None if item.found is None else reason

    def _again(self, item: Item, found: Found | Left | None, seen: Seen) -> Item | None:
        if isinstance(found, Left):
            self._report.skip(item.key, str(found))
            return None
        row, remote, coming = seen
        try:
            row = self._arrived(item.key, found, row, remote, coming)
        except Left as reason:
            self._report.skip(item.key, str(reason))
            return None
        if row is None and remote is not None and remote.gone:
            remote = None
        if found == item.found and row == item.row and remote == item.remote:
            return item
        return self._item(item.key, found, row, remote)

    def _arrived(
        self, key: str, found: Found | None, row: Row | None, remote: RemoteRow | None, coming: Sequence[Arrival]
    ) -> Row | None:
        """The row of a file that a sync has placed and not written down before something newer; ``row`` for any other."""
        if found is None or remote is None:
            return row
        for one in coming:
            between = (row is None or row.version < one.version) and put_of(one.version) < remote.version
            if between and found.modified == one.modified and self._tree.sha256(key, found) == one.sha256:
                return Row(one.version, found.size, found.mtime_ns, found.inode, one.sha256, 0, 0, None)
        return row

    def _side_by_side(self, prefix: str) -> Iterator[tuple[str, Found | None, Row | None, RemoteRow | None]]:
        """Join the walk and the state, both in key order."""
        pulling = self._options.pull
        files, rows = self._scan.files(prefix), self._state.rows(prefix, unsynced=pulling)
        file, row = next(files, None), next(rows, None)
        while file is not None or row is not None:
            if row is None or (file is not None and file[0] < row[0]):
                assert file is not None
                yield file[0], file[1], None, None if pulling else self._state.unsynced(file[0])
                file = next(files, None)
            elif file is None or row[0] < file[0]:
                if not self._scan.is_blocked(row[0]) and not self._scope.excludes(row[0]):
                    yield row[0], None, row[1], row[2]
                row = next(rows, None)
            else:
                yield row[0], file[1], row[1], row[2]
                file, row = next(files, None), next(rows, None)

    # --- one path -----------------------------------------------------------------------------------------------

    def _item(self, key: str, found: Found | None, row: Row | None, remote: RemoteRow | None) -> Item | None:
        if key.endswith(_DATA_FILES) and self._passes_over(key, found, row, remote):
            return None
        try:
            local, sha256, touched = self._local(key, found, row)
            there = self._remote(row, remote)
            if local is Local.SAME and there is Remote.SAME:
                self._report.unchanged += 1
                return Item(key, Action.RECORD, found, row, None, sha256) if touched else None
            equal: bool | None = False
            if found is not None and there in (Remote.NEW, Remote.CHANGED):
                equal, sha256 = self._compare(key, found, remote, sha256)
        except Left as reason:
            self._report.skip(key, str(reason))
            return None
        action = decide(local, there, equal=equal, local_newer=_newer(found, sha256, remote))
        if action is Action.PULL and row is None:
            assert remote is not None
            item = Item(key, action, down_bytes=remote.size)  # there may be very many
        else:
            item = Item(key, action, found, row, remote, sha256, remote.size if remote else 0)
        return item if self.allowed(item) else None

    def settle(self, item: Item, remote_sha256: bytes) -> Item | None:
        """Decide again on an item whose entry had no hash, now that it is known."""
        assert item.remote is not None
        remote = msgspec.structs.replace(item.remote, sha256=remote_sha256)
        local, there = (Local.CHANGED, Remote.CHANGED) if item.row else (Local.NEW, Remote.NEW)
        equal = item.sha256 == remote_sha256
        action = decide(local, there, equal=equal, local_newer=_newer(item.found, item.sha256, remote))
        settled = Item(item.key, action, item.found, item.row, remote, item.sha256)
        return settled if self.allowed(settled) else None

    def allowed(self, item: Item) -> bool:
        """Whether the directions asked for allow the action; a conflict that they leave open is reported."""
        action, options = item.action, self._options
        if action is Action.NOTHING:
            return False
        if action in NEEDS_BOTH and not (options.push and options.pull):
            self._report.skip(item.key, "it changed on both sides: sync both ways to settle it")
            return False
        return not (action in NEEDS_PUSH and not options.push) and not (action in NEEDS_PULL and not options.pull)

    def _local(self, key: str, found: Found | None, row: Row | None) -> tuple[Local, bytes | None, bool]:
        """``(state, hash if known, whether the row is to be written anew)``."""
        if row is None:
            return (Local.NEW if found is not None else Local.ABSENT), None, False
        if found is None:
            return Local.MISSING, None, False
        if found.size != row.size:
            return Local.CHANGED, None, False
        same = found.mtime_ns == row.mtime_ns and found.inode == row.inode
        if same and abs(found.mtime_ns // 1_000_000 - row.at_ms) > _RACY_MS:
            return Local.SAME, row.sha256, False
        sha256 = self._tree.sha256(key, found)
        return (Local.SAME if sha256 == row.sha256 else Local.CHANGED), sha256, True

    def _remote(self, row: Row | None, remote: RemoteRow | None) -> Remote:
        if remote is None:
            expired = row is not None and row.expires and row.expires <= self._now_ms
            return Remote.ABSENT if row is None else Remote.GONE if expired else Remote.SAME
        live = not remote.gone and not (remote.expires and remote.expires <= self._now_ms)
        if row is None:
            return Remote.NEW if live else Remote.ABSENT
        if not live:
            return Remote.GONE
        return Remote.SAME if put_of(remote.version) == put_of(row.version) else Remote.CHANGED

    def _compare(
        self, key: str, found: Found, remote: RemoteRow | None, sha256: bytes | None
    ) -> tuple[bool | None, bytes]:
        """Whether file and entry hold the same contents (``None``: the entry has no hash), and the file's hash."""
        assert remote is not None
        mine = sha256 or self._tree.sha256(key, found)
        if found.size != remote.size:
            return False, mine
        return (None if remote.sha256 is None else mine == remote.sha256), mine


def _newer(found: Found | None, sha256: bytes | None, remote: RemoteRow | None) -> bool:
    """Who wins a path that both sides changed: the later time, else the greater hash. The same on every machine."""
    if found is None or remote is None:
        return False
    return (found.modified, sha256 or b"") > (remote.modified, remote.sha256 or b"")
