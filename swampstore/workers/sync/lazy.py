"""Which contents a metadata-only sync leaves in the namespace until somebody wants them.

It leaves the contents of data versions (``.../<N>/raw`` beside a ``metadata.yaml``) and every other file above 64 KiB;
metadata, ``latest`` and small text come. What it leaves is known to the state as *not here*: a newest record that was
never synced. So it is no deletion, whatever is deleted around it, and the next plain sync brings it.

Invariants:
- What is not here never has a row of what both sides hold; a path without such a row is never deleted remotely.
- Contents that are here already are kept current, by a metadata-only sync too.
"""

from __future__ import annotations

from swampstore.limits import KIB
from swampstore.workers.sync.state import RemoteRow, Row, State

SMALL_BYTES = 64 * KIB
"""Files up to this size that are not contents of data come along with the metadata."""


class Lazy:
    """The rule, over what the state knows."""

    def __init__(self, state: State) -> None:
        self._state = state

    def stays_away(self, key: str, row: Row | None, remote: RemoteRow | None) -> bool:
        """Whether the contents of ``key``, which were never here, are left in the namespace."""
        if row is not None or remote is None or remote.gone:
            return False
        return remote.size > SMALL_BYTES or self._is_data(key)

    def _is_data(self, key: str) -> bool:
        folder, _, name = key.rpartition("/")
        if name != "raw" or not folder.rpartition("/")[2].isdecimal():
            return False
        return self._state.is_live(f"{folder}/metadata.yaml")
