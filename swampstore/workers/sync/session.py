"""One sync of a tree and a namespace: look, plan, then delete here, pull, settle conflicts, push.

No lock outlives one file: pushes are appends, and a tree that two processes sync at once is guarded file by file.

Invariants:
- Killed at any point, the next sync ends where this one would have: rows follow facts, and equal contents on both sides
  are in sync whoever brought them there.
- What is not covered (prefix, directories, exclude), blocked or unreadable is never deleted on the other side.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from swampstore.env.phases import Operation, during
from swampstore.values.entry import entry_of
from swampstore.values.keys import key_problem
from swampstore.values.version import FROM_NOTHING, just_above
from swampstore.workers.sync.conflicts import Settler, hash_entry
from swampstore.workers.sync.data import DataModel, number_pending
from swampstore.workers.sync.decide import NEEDS_BOTH, Action
from swampstore.workers.sync.lazy import Lazy
from swampstore.workers.sync.mirror import Mirror
from swampstore.workers.sync.notes import Notes
from swampstore.workers.sync.options import Scope, SyncOptions
from swampstore.workers.sync.others import leave_others_out
from swampstore.workers.sync.plan import Item, Planner
from swampstore.workers.sync.preview import left_alone
from swampstore.workers.sync.pull import Puller
from swampstore.workers.sync.push import Namespace, Pusher
from swampstore.workers.sync.report import Progress, SyncReport, printable, quiet
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.state import Beside, State, state_path
from swampstore.workers.sync.steps import Step, Upload, steps_of
from swampstore.workers.sync.throttle import limited
from swampstore.workers.sync.tree import Left, Tree, make_tree
from swampstore.workers.sync.units import Clash
from swampstore.workers.sync.versions import Folders
from swampstore.workers.sync.way import without_blocked

_FEW_KEYS = 2_000
_FEW_POINTS = 20_000
_POINT_COST = 4
"""Looking at one path by itself costs about as much as passing so many in a walk."""
_PULLS = frozenset({Action.PULL, Action.PULL_REVIVED})
_PUSHES = frozenset({Action.PUSH, Action.PUSH_REVIVED, Action.DELETE_REMOTE})
_UPLOADS = frozenset({Action.PUSH, Action.PUSH_REVIVED})
_REVIVED = frozenset({Action.PULL_REVIVED, Action.PUSH_REVIVED})
_SHOWN = {Action.PULL_REVIVED: "pull", Action.PUSH_REVIVED: "push"}


async def sync(
    namespace: Namespace,
    tree: Path,
    options: SyncOptions,
    progress: Progress | None = None,
    *,
    paths: Sequence[str] | None = None,
) -> SyncReport:
    """Bring ``tree`` (a folder; made if only it is missing) and ``namespace`` together. Returns what was done.

    ``paths`` says where to look (files, or folders with all below them), and that nothing changed elsewhere in the
    tree: both ways, the namespace's changes come from everywhere; a pull brings those paths alone.

    Raises ``StoreMissing`` or ``StoreForbidden`` for a tree that is not there or cannot hold the state, ``StoreFull``,
    ``BadKey``/``BadConfig``/``Misuse`` for options, and what reads and appends raise. Trouble with one file is no error
    but a skip in the report.
    """
    with Operation(namespace.place.env, "sync", "plan") as operation:
        report = await _sync(namespace, tree, options, progress, paths)
        operation.records = report.pulled + report.pushed
    report.seconds, report.phases = operation.seconds, operation.phases
    return report


async def _sync(
    namespace: Namespace, tree: Path, options: SyncOptions, progress: Progress | None, paths: Sequence[str] | None
) -> SyncReport:
    env = namespace.place.env
    scope = Scope(options)
    if not options.dry_run:
        make_tree(tree)
    path: Path | None = state_path(tree, namespace.place.store.url, namespace.name)
    if options.dry_run and path is not None and not path.exists():
        path = None
    report = SyncReport(dry_run=options.dry_run)
    with ExitStack() as stack:
        if options.dry_run and not tree.exists() and tree.parent.is_dir():
            tree = Path(stack.enter_context(TemporaryDirectory(prefix="swampstore-")))  # as empty as what would be made
        files = stack.enter_context(Tree(tree, env))
        stack.enter_context(limited(namespace.place, options.limit_rate))
        state = State(path, namespace.place.store.url, namespace.name)
        try:
            await _Session(namespace, files, state, scope, options, report, progress or quiet).run(paths)
        except (TypeError, ValueError, AttributeError, struct.error):
            state.check_types()  # values that no sync wrote are the reason more often than a fault here
            raise
        finally:
            state.close()
    return report


class _Session:
    def __init__(
        self,
        namespace: Namespace,
        tree: Tree,
        state: State,
        scope: Scope,
        options: SyncOptions,
        report: SyncReport,
        progress: Progress,
    ) -> None:
        place = namespace.place
        self._place = place
        self._register = namespace.register
        self._tree = tree
        self._state = state
        self._scope = scope
        self._options = options
        self._report = report
        self._progress = progress
        self._mirror = Mirror(place, namespace.reader, state, scope)
        self._scan = Scan(tree, scope, place.env.wall_ms())
        self._puller = Puller(place, self._mirror, tree, state, options, report)
        self._versions = Folders(tree, state, report)
        self._pusher = Pusher(namespace, self._mirror, tree, state, options, report, self._versions)
        self._settler = Settler(place, self._mirror, tree, self._puller, report)
        self._data = DataModel(
            place,
            self._mirror,
            tree,
            state,
            scope,
            options,
            report,
            self._puller,
            self._settler.uploads,
            self._versions,
        )
        self._lazy = Lazy(state)
        self._notes = Notes(state, place.env, options)
        self._now_ms = 0

    async def run(self, paths: Sequence[str] | None) -> None:
        self._progress("look", 0, 0, 0)
        leave_others_out(self._tree, self._scope, self._place.store.url, self._report, told=paths is None)
        few = None if self._options.pull else self._few_keys(paths)
        with during("lookup"):
            await self._mirror.refresh(few)
        numbering = self._mirror.pending and self._options.pull and not self._options.dry_run
        if numbering and await number_pending(self._place, self._register, self._report):
            await self._mirror.refresh()
        self._report.reset, self._report.absent = self._mirror.reset, self._mirror.absent
        self._now_ms = self._place.clock.now_ms()
        planner = Planner(
            self._state,
            self._tree,
            self._scan,
            self._scope,
            self._options,
            self._report,
            self._now_ms,
            self._versions.passes_over,
        )
        items = list(self._notes.taken(self._items(planner, None if self._mirror.reset else paths)))
        if self._options.pull:
            for key in self._state.reserved():
                if self._scope.covers(key) and self._scope.reserves(key):
                    self._report.skip(key, "sync keeps its own files under such a name")
        for path, reason in sorted(self._scan.blocked.items()):
            if reason:
                self._report.skip(printable(path), reason)
        items, clashes = self._data.arrange(await self._compare(planner, items))
        if self._options.dry_run:
            leaving = frozenset(item.key for item in items if item.action is Action.DELETE_LOCAL)
            self._show(without_blocked(self._without_left_alone(items), self._tree, self._scan, self._report, leaving))
            return
        self._show(items)
        await self._carry_out(items, clashes)

    # --- where to look ------------------------------------------------------------------------------------------

    def _items(self, planner: Planner, paths: Sequence[str] | None) -> Iterator[Item]:
        """The plan. A sync that pushes walks the tree; one that pulls looks where the namespace has changed."""
        if paths is not None:
            yield from self._items_at(planner, _outermost(paths))
            return
        for prefix in self._scope.prefixes:
            points = None if self._options.push else self._few_points(prefix)
            if points is not None:
                yield from planner.points(points)
            else:
                yield from self._here(planner.items(self._progress, (prefix,)))

    def _items_at(self, planner: Planner, paths: Sequence[str]) -> Iterator[Item]:
        """The plan for ``paths`` and what lies below them; both ways, also for whatever changed in the namespace."""
        found: dict[str, Item] = {}
        paths = [path for path in paths if not key_problem(path)]
        for item in planner.points(self._state.beside([path for path in paths if self._scope.covers(path)])):
            found[item.key] = item
        for folder in self._folders(paths):
            if self._options.push:
                found.update((item.key, item) for item in planner.items(self._progress, (folder,)))
            else:
                found.update((item.key, item) for item in planner.points(self._state.pending(folder, self._now_ms)))
        if self._options.push and self._options.pull:
            looked = tuple(path + "/" for path in paths)
            for prefix in self._scope.prefixes:
                elsewhere = (one for one in self._pending(prefix) if not (one[0] + "/").startswith(looked))
                found.update((item.key, item) for item in planner.points(elsewhere))
        yield from (found[key] for key in sorted(found))

    def _folders(self, paths: Sequence[str]) -> list[str]:
        """What is covered of the folders at ``paths``, as prefixes."""
        found: set[str] = set()
        for folder in (path + "/" for path in paths):
            for prefix in self._scope.prefixes:
                if folder.startswith(prefix) or prefix.startswith(folder):
                    found.add(max(folder, prefix, key=len))
        return sorted(found)

    def _few_points(self, prefix: str) -> list[Beside] | None:
        """What is pending under ``prefix``, unless a walk is the quicker way to look at it."""
        points = list(islice(self._pending(prefix), _FEW_POINTS + 1))
        if not points or (len(points) <= _FEW_POINTS and self._state.holds(prefix, _POINT_COST * len(points))):
            return points
        self._report.not_here = 0  # the walk counts them again
        return None

    def _pending(self, prefix: str) -> Iterator[Beside]:
        for key, row, remote in self._state.pending(prefix, self._now_ms):
            if self._options.metadata_only and self._lazy.stays_away(key, row, remote):
                self._report.not_here += 1
            else:
                yield key, row, remote

    def _here(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items of a walk without contents that are left in the namespace."""
        for item in items:
            new = self._options.metadata_only and item.action is Action.PULL and item.found is None
            if new and self._lazy.stays_away(item.key, item.row, self._state.unsynced(item.key)):
                self._report.not_here += 1
            else:
                yield item

    def _few_keys(self, paths: Sequence[str] | None) -> list[str] | None:
        """The keys that a push may concern, if they are few enough to be asked for one by one."""
        keys: set[str] = set(paths or ())
        scan = Scan(self._tree, self._scope, self._place.env.wall_ms())
        prefixes = self._scope.prefixes if paths is None else [path + "/" for path in paths]
        for prefix in prefixes:
            keys.update(self._state.synced_keys(prefix, _FEW_KEYS + 1))
            for key, _ in scan.files(prefix):
                keys.add(key)
                if len(keys) > _FEW_KEYS:
                    return None
        return sorted(keys)

    async def _compare(self, planner: Planner, items: list[Item]) -> list[Item]:
        """Settle what could not be decided without reading contents (entries that were imported without hashes)."""
        unknown = [item for item in items if item.action is Action.COMPARE]
        if not unknown:
            return items
        decided = {item.key: item for item in items if item.action is not Action.COMPARE}
        for number, item in enumerate(unknown):
            self._progress("compare", number, len(unknown), 0)
            try:
                record = (await self._mirror.records([item.key]))[item.key]
                if record is None or record.gone:
                    raise Left("it changed in the namespace meanwhile")
                settled = planner.settle(item, await hash_entry(self._place, entry_of(record)))
            except Left as reason:
                self._report.skip(item.key, str(reason))
                continue
            if settled is not None:
                decided[item.key] = settled
        return [decided[key] for key in sorted(decided)]

    def _without_left_alone(self, items: list[Item]) -> list[Item]:
        """The plan without what a push would find out to be none of its business."""
        pushes = [item for item in items if item.action in _UPLOADS]
        left = left_alone(pushes, self._tree, self._state, self._versions, self._report, self._now_ms)
        return [item for item in items if item.key not in left]

    def _show(self, items: list[Item]) -> None:
        for item in items:
            action = item.action
            if action in NEEDS_BOTH:
                self._report.changed(item.key, "conflict", _size(item))
            elif action not in (Action.RECORD, Action.FORGET):
                self._report.changed(item.key, _SHOWN.get(action, action.value), _size(item))
            if action in _REVIVED or (action is Action.PULL and item.key in self._mirror.revived):
                self._report.revived.append(item.key)

    async def _carry_out(self, items: list[Item], clashes: list[Clash]) -> None:
        self._data.begin(items, clashes)
        pulls = [item for item in items if item.action in _PULLS]
        pushes = [item for item in items if item.action in _PUSHES]
        both = [item for item in items if item.action in NEEDS_BOTH]
        self._notes.write([item for item in items if item.action in (Action.RECORD, Action.FORGET)])
        with during("files"):
            self._delete([item for item in items if item.action is Action.DELETE_LOCAL])
            placed = without_blocked(pulls, self._tree, self._scan, self._report)
            await self._puller.pull(placed, self._progress)
        kept = {item.key for item in placed}
        self._report.unplanned({item.key: _size(item) for item in pulls if item.key not in kept}, "pull")
        await self._data.settle(clashes)
        await self._settler.settle(both)
        if self._options.pull:
            await self._write_kept()
        derived = self._data.finish()
        if self._options.push:
            uploads = self._settler.uploads
            steps: list[Step] = [step for step in steps_of(pushes, self._state) if step.key not in uploads]
            steps += self._based(list(uploads.values()))
            with during("files"):
                await self._pusher.push([*steps, *derived], self._progress)
            sizes = {item.key: _size(item) for item in pushes if item.action in _UPLOADS}
            self._report.unplanned({key: sizes[key] for key in self._pusher.expired if key in sizes}, "push")

    def _delete(self, items: list[Item]) -> None:
        """Remove files that are gone from the namespace and did not change here."""
        removed: list[Item] = []
        for item in items:
            assert item.found is not None
            try:
                with self._state.transaction():  # no other sync of this tree places a file meanwhile
                    self._tree.remove(item.key, item.found)
            except Left as reason:
                self._report.skip(item.key, str(reason))
                continue
            removed.append(item)
            self._progress("delete", len(removed), len(items), 0)
        with self._state.transaction():
            for item in removed:
                assert item.row is not None
                version = item.remote.version if item.remote else just_above(item.row.version)
                self._state.gone(item.key, max(version, item.row.version), version)
        self._report.deleted_local += len(removed)

    async def _write_kept(self) -> None:
        for prefix in self._scope.prefixes:
            kept = [(key, version) for key, version in self._state.kept(prefix) if not self._scope.excludes(key)]
            if kept:
                await self._settler.keep(await self._data.keep(kept))

    def _based(self, uploads: list[Upload]) -> list[Step]:
        """Give copies that are in the namespace already the version they follow; drop those that need nothing."""
        known = self._state.synced_rows([upload.key for upload in uploads])
        steps: list[Step] = []
        for upload in uploads:
            row = known.get(upload.key)
            if row is not None and upload.row is None and upload.base == FROM_NOTHING:
                if upload.settles is None and row.size == upload.found.size and row.inode == upload.found.inode:
                    continue
                upload = msgspec.structs.replace(upload, base=row.version, row=row)
            steps.append(upload)
        return steps


def _size(item: Item) -> int:
    """Bytes that the change moves."""
    if item.action in _PULLS:
        return item.down_bytes
    up = item.found.size if item.found is not None and item.action is not Action.DELETE_LOCAL else 0
    return up + (item.down_bytes if item.action in NEEDS_BOTH else 0)


def _outermost(paths: Sequence[str]) -> list[str]:
    """``paths`` in order, without those that lie below another."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: path + "/"):
        if not kept or not path.startswith(kept[-1] + "/"):
            kept.append(path)
    return kept
