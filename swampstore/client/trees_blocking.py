"""A namespace and a folder of files, for the blocking client: sync, contents on demand. Its twin is ``trees_aio``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from swampstore.env.blocking import run

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.core import CoreNamespace
    from swampstore.workers.sync import SyncOptions, SyncReport


class Trees:
    """The part of a namespace that works on folders of files (a repo's ``.swamp``)."""

    _core: CoreNamespace

    def sync(self, tree: str | os.PathLike[str], options: SyncOptions | None = None) -> SyncReport:
        """Make the folder ``tree`` and this namespace alike, both ways or as :class:`swampstore.SyncOptions` say.

        Takes no lock. Trouble with one file is no error but a skip in the report. Raises ``StoreMissing`` for a folder
        whose parent is not there, and what reads and appends raise.
        """
        from swampstore.workers.sync import SyncOptions, sync

        return run(sync(self._core, Path(tree), options or SyncOptions()))

    def hydrate(self, tree: str | os.PathLike[str], paths: Sequence[str]) -> SyncReport:
        """Bring the contents at ``paths`` (keys, or folders with all below) into ``tree``. Raises ``NotFound``."""
        from swampstore.workers.sync.hydrate import hydrate

        return run(hydrate(self._core, Path(tree), paths))

    def open_file(self, tree: str | os.PathLike[str], key: str) -> BinaryIO:
        """The file ``key`` of ``tree``, open for reading; brought here first if it is not (``sync --metadata-only``).

        A file that is here is opened as it is, without asking the store. Raises ``NotFound``.
        """
        from swampstore.workers.sync.hydrate import open_file

        return run(open_file(self._core, Path(tree), key))
