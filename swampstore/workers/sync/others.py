"""Trees of other namespaces in this one: a folder at the top that holds a state of its own is left alone.

Invariant: one that is not known to be the folder of a namespace of this store by that name is told, for whatever else
brought a state there (a copied repo, say) takes the folder out of sync.
"""

from __future__ import annotations

from swampstore.workers.sync.options import STATE_FOLDER, Scope
from swampstore.workers.sync.report import SyncReport, printable
from swampstore.workers.sync.state import state_path
from swampstore.workers.sync.tree import Tree

_REASON = (
    f"it holds a {STATE_FOLDER} folder, as the tree of another namespace does: remove that to sync it with this one"
)


def leave_others_out(tree: Tree, scope: Scope, url: str, report: SyncReport, *, told: bool) -> None:
    """Exclude them from ``scope``. ``told`` reports those that are not known; ``url`` is the store's."""
    others = tree.others()
    for name in sorted(others) if told else ():
        folder = f"{name}/"
        wanted = any(folder.startswith(prefix) or prefix.startswith(folder) for prefix in scope.prefixes)
        if wanted and not scope.excludes_folder(name) and not state_path(tree.path / name, url, name).exists():
            report.skip(printable(name), _REASON)
    scope.leave_out(others)
