"""An append-log datastore with a background compactor, for processes that share one S3 bucket or one directory.

    import swampstore

    with swampstore.open("/srv/team") as store:
        ns = store.namespace("ops")
        ns.put("reports/a.json", b"...", content_type="application/json")
        ns.read("reports/a.json")

Names are loaded on first use, so importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from swampstore.version import __version__

if TYPE_CHECKING:
    from swampstore.client.aio import AsyncDatastore, AsyncNamespace, AsyncSnapshot, open_async
    from swampstore.client.blocking import Datastore, Namespace, Snapshot, open
    from swampstore.client.sources import FileSource
    from swampstore.client.status import NamespaceStatus
    from swampstore.protocols.snapshot import Listed
    from swampstore.protocols.writer import Ack
    from swampstore.values.deltas import Delete, Index, Put
    from swampstore.values.entry import Entry, Meta
    from swampstore.workers.report import CompactReport

_HOMES = {
    "swampstore.client.aio": ("AsyncDatastore", "AsyncNamespace", "AsyncSnapshot", "open_async"),
    "swampstore.client.blocking": ("Datastore", "Namespace", "Snapshot", "open"),
    "swampstore.client.sources": ("FileSource",),
    "swampstore.client.status": ("NamespaceStatus",),
    "swampstore.protocols.snapshot": ("Listed",),
    "swampstore.protocols.writer": ("Ack",),
    "swampstore.values.deltas": ("Delete", "Index", "Put"),
    "swampstore.values.entry": ("Entry", "Meta"),
    "swampstore.workers.report": ("CompactReport",),
    "swampstore.errors": (
        "SwampError",
        "TryAgain",
        "StoreUnavailable",
        "Throttled",
        "DeadlinePassed",
        "SnapshotExpired",
        "Conflict",
        "AlreadyExists",
        "StaleWrite",
        "Undecided",
        "AmbiguousAppend",
        "FixTheCall",
        "BadKey",
        "BadName",
        "BadURL",
        "BadConfig",
        "TooLarge",
        "Misuse",
        "FixTheSetup",
        "StoreMissing",
        "StoreForbidden",
        "StoreFull",
        "PreconditionsIgnored",
        "ClockOff",
        "UnsupportedPlatform",
        "Damaged",
        "CorruptObject",
        "UnknownFormat",
        "MissingObject",
        "NotFound",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 (built from the table above)


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'swampstore' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
