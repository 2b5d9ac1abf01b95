"""What a sync does for the data model, in one place: versions in step, clashes settled, ``latest`` right.

Invariants:
- ``latest`` is right after every sync that touches its datum, also when the one that touched it first was killed.
- A sync that meets versions without a number folds once, and no more: what is left then comes next time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from swampstore.errors import StoreForbidden
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.values.data import latest_path, version_folder
from swampstore.values.join import conflict_of
from swampstore.values.version import put_of
from swampstore.workers.sync.clashes import Clashes, Kept
from swampstore.workers.sync.decide import Action
from swampstore.workers.sync.ended import give_way
from swampstore.workers.sync.latest import Latest, is_latest
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.options import Scope, SyncOptions
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.pull import Puller
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.state import Row, State
from swampstore.workers.sync.steps import Deletion, Removal, Step, Upload
from swampstore.workers.sync.tree import Left, Tree
from swampstore.workers.sync.units import Clash, arrange
from swampstore.workers.sync.versions import Folders, other_file

_TOUCHED = "latest"
_DELETED = (Action.DELETE_LOCAL, Action.DELETE_REMOTE)
_REVIVED = (Action.PULL_REVIVED, Action.PUSH_REVIVED)


async def number_pending(place: Place, register: Register, report: SyncReport) -> bool:
    """Fold once, so that versions without a number get theirs. Returns whether there may be something new to read."""
    from swampstore.workers.compactor import Compactor

    try:
        folded, _ = await Compactor(place, register).fold_once(insist=True)
    except StoreForbidden as error:
        report.skip("data", f"new versions have no number yet, and this client may not give them one: {error}")
        return False
    return folded.published or folded.raced


class DataModel:
    """See the module. ``folders`` is for the planner and the pusher."""

    def __init__(
        self,
        place: Place,
        mirror: Mirror,
        tree: Tree,
        state: State,
        scope: Scope,
        options: SyncOptions,
        report: SyncReport,
        puller: Puller,
        uploads: dict[str, Upload],
        folders: Folders,
    ) -> None:
        self._place = place
        self._tree = tree
        self._state = state
        self._scope = scope
        self._options = options
        self._report = report
        self._folders = folders
        self._clashes = Clashes(place, mirror, tree, state, puller, report, uploads)
        self._latest = Latest(tree, place.env, report)
        self._touched: set[str] = set()
        self._removals: list[Removal] = []

    def arrange(self, items: Sequence[Item]) -> tuple[list[Item], list[Clash]]:
        """The plan with the files of each version in step, and the folders that were made on both sides."""
        now_ms = self._place.clock.now_ms()
        items = self._held_back(give_way(items, lambda folder: self._folders.has_ended(folder, now_ms)))
        kept, clashes = arrange([*items, *self._revived_beside(items)], self._clashes.movable)
        kept.sort(key=lambda item: item.key)
        for clash in clashes:
            self._report.changed(clash.folder, "conflict", sum(item.down_bytes for item in clash.items))
        return kept, clashes

    def _held_back(self, items: Sequence[Item]) -> list[Item]:
        """The plan without deletions of files of versions whose other file has changed, where the plan of one direction
        leaves that change alone.
        """
        deletions = {
            other_file(item.key): item for item in items if item.action in _DELETED and version_folder(item.key)
        }
        if not deletions:
            return list(items)
        planned = {item.key for item in items}
        held: set[str] = set()
        for key, row, remote in self._state.beside([key for key in deletions if key not in planned]):
            if row is None:
                continue
            if deletions[key].action is Action.DELETE_REMOTE:
                changed = remote is not None and not remote.gone and put_of(remote.version) != put_of(row.version)
            else:
                changed = self._changed(key, row)
            if changed:
                held.add(deletions[key].key)
                self._report.skip(deletions[key].key, "the other file of this version has changed: sync both ways")
        return [item for item in items if item.key not in held]

    def _changed(self, key: str, row: Row) -> bool:
        try:
            found = self._tree.look(key)
        except Left:
            return False
        return found is not None and (found.size, found.mtime_ns, found.inode) != (row.size, row.mtime_ns, row.inode)

    def _revived_beside(self, items: Sequence[Item]) -> Iterator[Item]:
        """The other files of versions that survive a deletion, where they are not in a plan of one direction: they
        survive too.
        """
        revived = {
            other_file(item.key): item.action for item in items if item.action in _REVIVED and version_folder(item.key)
        }
        planned = {item.key for item in items} if revived else set()
        for key, row, remote in self._state.beside([key for key in revived if key not in planned]):
            try:
                found = self._tree.look(key)
            except Left:
                continue  # it is in nobody's way
            if row is None or self._scope.excludes(key):
                continue
            expires = remote.expires if remote is not None else row.expires
            gone = (remote is not None and remote.gone) or 0 < expires <= self._place.clock.now_ms()
            if (found is None) == gone:
                continue
            if revived[key] is (Action.PUSH_REVIVED if gone else Action.PULL_REVIVED):
                yield Item(key, revived[key], found, row, remote, None, row.size)

    def begin(self, items: Iterable[Item], clashes: Sequence[Clash]) -> None:
        """Before anything is changed: write down what is touched."""
        self._folders.note_passed()
        before = self._state.notes(_TOUCHED)
        self._touched.update(before)
        self._touch(item.key for item in items)
        self._touch(f"{clash.folder}/raw" for clash in clashes)
        self._keep_notes(before)

    def _touch(self, keys: Iterable[str]) -> None:
        for key in keys:
            folder = version_folder(key)
            if folder is not None:
                self._touched.add(latest_path(folder.rpartition("/")[0]))

    def _keep_notes(self, before: Sequence[str]) -> None:
        if self._touched.difference(before):
            with self._state.transaction():
                self._state.set_notes(_TOUCHED, sorted(self._touched))

    async def settle(self, clashes: Sequence[Clash]) -> None:
        """Give what this tree made under a number that is taken folders of its own."""
        await self._clashes.settle(clashes)

    async def keep(self, kept: Sequence[Kept]) -> list[Kept]:
        """Give versions that lost their number in a fold folders of their own; the conflict entries that are left."""
        rest: list[Kept] = []
        for key, version in kept:
            path = conflict_of(key)
            if path is not None and is_latest(path) and self._folders.passes_over(path, None, None, None):
                self._removals.append(Removal(key, version))
            else:
                rest.append((key, version))
        rest, made = await self._clashes.keep(rest)
        self._touch(f"{folder}/raw" for folder in made)
        self._keep_notes(())
        return rest

    def finish(self) -> list[Step]:
        """Once the tree is as it is to be: make ``latest`` right. Returns what of it is to leave the namespace."""
        covered = sorted(key for key in self._touched if self._scope.covers(key) and not self._scope.excludes(key))
        for key in covered:
            self._latest.repair(key.rpartition("/")[0])
        if self._touched:
            with self._state.transaction():
                self._state.set_notes(_TOUCHED, ())
        if not self._options.push:
            return []
        stale = self._folders.stale_latest(covered)
        return [*(Deletion(key, version, derived=True) for key, version in stale), *self._removals]
