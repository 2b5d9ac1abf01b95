"""Sync: a tree of files and a namespace, both ways, without any lock. Start at :mod:`swampstore.workers.sync.session`."""

from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.report import Progress, SyncReport
from swampstore.workers.sync.session import sync

__all__ = ["Progress", "SyncOptions", "SyncReport", "sync"]
