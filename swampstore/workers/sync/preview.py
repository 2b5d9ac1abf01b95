"""What a dry run says of the versions of data that a sync would push: found out as the push finds it out.

Invariants: nothing is written; the files that the push would read for its decision are read, and no others.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.values.data import METADATA, RAW, version_folder
from swampstore.workers.facts import Facts, NotAVersion
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.state import State
from swampstore.workers.sync.tree import Left, Tree
from swampstore.workers.sync.versions import Folders

_RAW_END, _META_END = f"/{RAW}", f"/{METADATA}"


def left_alone(
    pushes: Sequence[Item], tree: Tree, state: State, folders: Folders, report: SyncReport, now_ms: int
) -> frozenset[str]:
    """The keys of ``pushes`` (uploads, in key order) that would not be pushed, counted or skipped in the report. Folders
    whose files would be plain are reported."""
    planned = {item.key for item in pushes}
    words = [key.removesuffix(_META_END) + _RAW_END for key in planned if key.endswith(_META_END)]
    rows = state.beside([key for key in words if key not in planned])
    known = {key: remote or row for key, row, remote in rows if remote is None or not remote.gone}
    left: set[str] = set()
    for item in pushes:
        folder = version_folder(item.key)
        if folder is None:
            folders.note_plain(item.key)
            continue
        facts = folders.facts(folder)
        if facts is None:
            continue
        if 0 < facts.expires <= now_ms:
            report.expired += 1
            left.add(item.key)
            continue
        try:
            if item.key.endswith(_RAW_END):
                _check(item, facts, tree)
            elif (there := known.get(folder + _RAW_END)) is not None:
                facts.check(there.size, there.sha256 or None)
        except NotAVersion as reason:
            folders.trouble(folder, str(reason))
        except Left as reason:
            report.skip(item.key, str(reason))
            left.add(item.key)
    return frozenset(left)


def _check(item: Item, facts: Facts, tree: Tree) -> None:
    assert item.found is not None
    facts.check(item.found.size, None)
    if facts.sha256 is not None:
        facts.check(item.found.size, item.sha256 or tree.sha256(item.key, item.found))
