"""Contents on demand: bring what lies in the namespace into the tree, and use what lies in the tree instead of reading.

Invariants:
- Bringing contents here pushes nothing and deletes nothing remotely.
- A local file stands for an entry only while the state says that both hold the same version, and the file is untouched
  since; whoever reads it checks the hash as for contents from the store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from swampstore.env.base import Env
from swampstore.errors import NotFound
from swampstore.values.entry import Entry
from swampstore.values.keys import check_key
from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.push import Namespace
from swampstore.workers.sync.report import Progress, SyncReport
from swampstore.workers.sync.session import sync
from swampstore.workers.sync.state import State, state_path
from swampstore.workers.sync.tree import Left, Tree


async def hydrate(
    namespace: Namespace,
    tree: Path,
    paths: Sequence[str],
    options: SyncOptions | None = None,
    progress: Progress | None = None,
) -> SyncReport:
    """Bring the contents at ``paths`` (files, or folders with all below them) into ``tree``, and those that changed.

    Raises ``BadKey``, ``NotFound`` for a path that is neither in the namespace nor in the tree, and what a sync raises.
    """
    wanted = [check_key(path.strip("/")) for path in paths]
    chosen = msgspec.structs.replace(options or SyncOptions(), push=False, pull=True, metadata_only=False)
    report = await sync(namespace, tree, chosen, progress, paths=wanted)
    told = {skipped.path for skipped in report.skipped}
    for path in wanted:
        below = path + "/"
        if not os.path.lexists(tree / path) and not any(one == path or one.startswith(below) for one in told):
            if chosen.dry_run and any((change.path + "/").startswith(below) for change in report.changes):
                continue
            raise NotFound(
                f"nothing at {path!r} in namespace {namespace.name!r}", hint="list keys with: swamp object list"
            )
    return report


async def open_file(namespace: Namespace, tree: Path, key: str, options: SyncOptions | None = None) -> BinaryIO:
    """The file at ``key`` of ``tree``, open for reading; its contents are brought here first if they are not.

    A file that is here is opened as it is, without asking the store. Raises ``BadKey``, ``NotFound``.
    """
    check_key(key)
    if tree.is_dir():
        with Tree(tree, namespace.place.env) as files:
            try:
                return files.open_file(key)
            except FileNotFoundError:
                pass
    report = await hydrate(namespace, tree, [key], options)
    with Tree(tree, namespace.place.env) as files:
        try:
            return files.open_file(key)
        except FileNotFoundError:
            reason = next((skipped.reason for skipped in report.skipped if skipped.path == key), "it is a folder")
            raise NotFound(f"{key!r} cannot be brought here: {reason}", hint="see: swamp datastore sync") from None


def local_copy(tree: Path, url: str, namespace: str, env: Env, entry: Entry) -> BinaryIO | None:
    """The file of ``tree`` that holds the contents of ``entry``, open for reading; ``None`` if it is not known to.

    Costs no request. What is read of it is still to be checked by size and hash.
    """
    path = state_path(tree, url, namespace)
    if not path.is_file():
        return None
    with Tree(tree, env) as files:
        state = State(path, url, namespace)
        try:
            row = state.synced_rows([entry.key]).get(entry.key)
        finally:
            state.close()
        if row is None or row.version != entry.version or row.size != entry.size:
            return None
        try:
            found = files.look(entry.key)
            if found is None or found.size != row.size or found.mtime_ns != row.mtime_ns or found.inode != row.inode:
                return None
            return files.open_file(entry.key)
        except (Left, FileNotFoundError):
            return None  # it has just changed: the store has it
