"""A namespace and a folder of files, for the asyncio client: sync, contents on demand.

Requests are awaited; work on the local disk is done in place, in the thread of the loop.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.core import CoreNamespace
    from swampstore.workers.sync import SyncOptions, SyncReport


class AsyncTrees:
    """The part of a namespace that works on folders of files (a repo's ``.swamp``)."""

    _core: CoreNamespace

    async def sync(self, tree: str | os.PathLike[str], options: SyncOptions | None = None) -> SyncReport:
        """See :meth:`swampstore.client.trees_blocking.Trees.sync`."""
        from swampstore.workers.sync import SyncOptions, sync

        return await sync(self._core, Path(tree), options or SyncOptions())

    async def hydrate(self, tree: str | os.PathLike[str], paths: Sequence[str]) -> SyncReport:
        """See :meth:`swampstore.client.trees_blocking.Trees.hydrate`."""
        from swampstore.workers.sync.hydrate import hydrate

        return await hydrate(self._core, Path(tree), paths)

    async def open_file(self, tree: str | os.PathLike[str], key: str) -> BinaryIO:
        """See :meth:`swampstore.client.trees_blocking.Trees.open_file`."""
        from swampstore.workers.sync.hydrate import open_file

        return await open_file(self._core, Path(tree), key)
