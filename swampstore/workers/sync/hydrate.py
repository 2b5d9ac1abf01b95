"""Contents on demand: bring what lies in the namespace into the tree, and use what lies in the tree instead of reading.

Invariants:
- Bringing contents here pushes nothing and deletes nothing remotely.
- A local file stands for contents only if the state says that both sides hold them and the file has their hash.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from swampstore.env.base import Env
from swampstore.errors import NotFound
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


def local_copy(tree: Path, url: str, namespace: str, env: Env, key: str, sha256: bytes | None) -> BinaryIO | None:
    """The file at ``key`` of ``tree`` if it holds the contents of this hash, open for reading; else ``None``.

    Costs no request. The file is read once to make sure.
    """
    path = state_path(tree, url, namespace)
    if sha256 is None or not path.is_file():
        return None
    with Tree(tree, env) as files:
        state = State(path, url, namespace)
        try:
            row = state.synced_rows([key]).get(key)
        finally:
            state.close()
        if row is None or row.sha256 != sha256:
            return None
        try:
            found = files.look(key)
            if found is None or found.size != row.size or files.sha256(key, found) != sha256:
                return None
            return files.open_file(key)
        except (Left, FileNotFoundError):
            return None  # it has just changed: the store has it
