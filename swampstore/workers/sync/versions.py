"""Data folders of the tree: what their ``metadata.yaml`` says, and the derived file ``latest``.

A folder is a version when its name is a number and it holds a ``metadata.yaml`` that can be read and contradicts neither
its path nor the contents beside it. Then the entry of its ``raw`` says so (:class:`Facts`). Other files, and those of a
folder that is none, are plain entries.

``latest`` says which version of a datum is the highest in this tree. It follows from the tree, so it is not synced:
entries of it, from an import or an older tree, are passed over.

Invariants:
- Nothing here keeps a file from being synced, but for ``latest`` and what is past its lifetime.
- Trouble with a folder is reported once.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.limits import DATA_METADATA_BYTES
from swampstore.values.data import LATEST, METADATA, RAW, number_problem, parse_path, version_folder
from swampstore.workers.facts import Facts, NotAVersion, facts_of
from swampstore.workers.sync.latest import DERIVED_BYTES, is_latest, is_version, ordinals
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.state import RemoteRow, Row, State
from swampstore.workers.sync.tree import Found, Left, Tree

_META_END = f"/{METADATA}"
_RAW_END = f"/{RAW}"
_LATEST_END = f"/{LATEST}"


folder_of = version_folder


def other_file(key: str) -> str:
    """The other file of the version that ``key`` is a file of."""
    folder, _, leaf = key.rpartition("/")
    return folder + (_META_END if leaf == RAW else _RAW_END)


class Folders:
    """The version folders of one tree, during one sync."""

    def __init__(self, tree: Tree, state: State, report: SyncReport) -> None:
        self._tree = tree
        self._state = state
        self._report = report
        self._last: tuple[str, Facts | None] = ("", None)
        self._told: set[str] = set()
        self._walked = ""
        """The datum that the walk has met a version of last: its ``latest`` comes right behind."""
        self._passed: dict[str, tuple[Row | None, RemoteRow | None]] = {}

    # --- what a folder says -------------------------------------------------------------------------------------

    def facts(self, folder: str) -> Facts | None:
        """What ``metadata.yaml`` says, unless there is none or there is trouble (reported) with it."""
        if self._last[0] != folder:
            self._last = (folder, self._read(folder))
        return self._last[1]

    def has_ended(self, folder: str, now_ms: int) -> bool:
        """Whether a version that is past its lifetime lies in ``folder`` now. Nothing of this is kept, or reported."""
        try:
            facts = self._said(folder)
        except (NotAVersion, Left):
            return False
        return facts is not None and 0 < facts.expires <= now_ms

    def _read(self, folder: str) -> Facts | None:
        try:
            return self._said(folder)
        except (NotAVersion, Left) as reason:
            self.trouble(folder, str(reason))
            return None

    def _said(self, folder: str) -> Facts | None:
        key = folder + _META_END
        path = parse_path(key)
        found = self._tree.look(key) if path is not None and path.ordinal else None
        if path is None or found is None:
            return None
        if found.size > DATA_METADATA_BYTES:
            raise NotAVersion(f"its metadata.yaml has {found.size} bytes, more than {DATA_METADATA_BYTES}")
        return facts_of(path, self._tree.read(key, found), modified=found.modified)

    def note_plain(self, key: str) -> None:
        """``key`` is a file of no version, by its form: report its folder if it only looks like one's."""
        reason = number_problem(key)
        if reason:
            self.trouble(key.removesuffix(_META_END), reason)

    def holds(self, folder: str) -> bool:
        """Whether a ``metadata.yaml`` lies in ``folder``, whatever it says."""
        return is_version(self._tree, folder)

    def trouble(self, folder: str, reason: str) -> None:
        """Report, once, why the files of ``folder`` are plain."""
        if folder not in self._told:
            self._told.add(folder)
            self._report.plain(folder, reason)

    # --- latest -------------------------------------------------------------------------------------------------

    def passes_over(self, key: str, found: Found | None, row: Row | None, remote: RemoteRow | None) -> bool:
        """Whether the plan leaves ``key`` alone because it is derived. Told of every ``metadata.yaml`` too."""
        if key.endswith(_META_END):
            folder = version_folder(key)
            if folder and (found is not None or row is not None or (remote is not None and not remote.gone)):
                self._walked = folder.rpartition("/")[0]
            return False
        item = key[: -len(_LATEST_END)]
        if item != self._walked and not self._is_datum(key, item, found):
            return False
        if row is not None or remote is not None:
            self._passed[key] = (row, remote)
        return True

    def _is_datum(self, key: str, item: str, found: Found | None) -> bool:
        if not is_latest(key):
            return False
        if any(is_version(self._tree, f"{item}/{number}") for number in ordinals(self._tree, item)):
            return True
        known = any(one.endswith(_META_END) for one in self._state.known_below(f"{item}/0", f"{item}/:"))
        # What the last deleted version left behind is no file of the user's, what is longer may be one.
        return known and (found is None or found.size <= DERIVED_BYTES)

    def note_passed(self) -> None:
        """Write down what was passed over, so that it is not looked at again."""
        if not any(remote is not None for _, remote in self._passed.values()):
            return
        with self._state.transaction():
            for key, (row, remote) in self._passed.items():
                if remote is None:
                    continue
                if remote.gone:
                    self._state.gone(key, max(remote.version, row.version if row else b""), remote.version)
                else:
                    sha256 = remote.sha256 or b""
                    self._state.synced(key, Row(remote.version, remote.size, 0, 0, sha256, 0, 0, None))
        self._passed.clear()

    def stale_latest(self, keys: Sequence[str]) -> list[tuple[str, bytes]]:
        """``(key, version)`` of those of ``keys`` that are entries of the namespace and files of this layout's own."""
        known = self._state.known(keys)
        return sorted((key, version) for key, (version, gone, _) in known.items() if not gone)
