"""Whether a new file can be placed in the tree: is its name free, and is every part of the way there a folder?

Looked at before contents are fetched, and for a dry run, so that what is told is what is done. The last word has the
placing itself, which never replaces anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.workers.sync.decide import Action
from swampstore.workers.sync.plan import Item
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.tree import Left, Tree

_PULLS = frozenset({Action.PULL, Action.PULL_REVIVED})


def without_blocked(
    items: Sequence[Item], tree: Tree, scan: Scan, report: SyncReport, leaving: frozenset[str] = frozenset()
) -> list[Item]:
    """``items`` without pulls that cannot be placed, which are reported; see :func:`blocked`."""
    reasons = blocked([item for item in items if item.action in _PULLS], tree, scan, leaving)
    for key, reason in reasons.items():
        report.skip(key, reason)
    return [item for item in items if item.action not in _PULLS or item.key not in reasons]


def blocked(pulls: Sequence[Item], tree: Tree, scan: Scan, leaving: frozenset[str] = frozenset()) -> dict[str, str]:
    """Those of ``pulls`` (in key order) that cannot be placed, and why. ``leaving`` are files that go before.

    A file that comes with the same pull is in the way, too, of what would lie below it.
    """
    found: dict[str, str] = {}
    new = {item.key for item in pulls if item.found is None}
    for key in sorted(new):
        above = _above(key)
        first = next((path for path in above if path in new and path not in found), None)
        if first is not None:
            found[key] = f"{first} is a file where a folder should be: it is one in the namespace, too"
        elif leaving.isdisjoint(above) and (reason := _reason(tree, key)) and not _empties(key, scan, leaving):
            found[key] = reason
    return found


def _above(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _reason(tree: Tree, key: str) -> str:
    try:
        tree.look(key)
    except Left as reason:
        return str(reason)
    return ""


def _empties(key: str, scan: Scan, leaving: frozenset[str]) -> bool:
    """Whether a folder is at ``key``, and goes with the last of its files."""
    below = key + "/"
    if not any(path.startswith(below) for path in leaving):
        return False
    return all(path in leaving for path, _ in scan.files(below))
