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
    from swampstore.client.aio_shared import AsyncHeldLock, AsyncPlace, AsyncQueue, AsyncStream, AsyncStreamView
    from swampstore.client.audit_aio import AsyncAuditTopic
    from swampstore.client.audit_blocking import AuditTopic
    from swampstore.client.audited import audited
    from swampstore.client.blocking import Datastore, Namespace, Snapshot, open
    from swampstore.client.blocking_shared import HeldLock, Place, Queue, Stream, StreamView
    from swampstore.client.data import DataAck, DataRemoval
    from swampstore.client.data_aio import AsyncDataItem
    from swampstore.client.data_blocking import DataItem
    from swampstore.client.sources import FileSource
    from swampstore.client.status import NamespaceStatus
    from swampstore.env.phases import traced
    from swampstore.errors import (
        AlreadyExists,
        AmbiguousAppend,
        BadConfig,
        BadKey,
        BadName,
        BadURL,
        BelowHorizon,
        ClockOff,
        Conflict,
        CorruptObject,
        Damaged,
        DeadForward,
        DeadlinePassed,
        FenceConflict,
        FencedError,
        FenceRetriesExhausted,
        FixTheCall,
        FixTheSetup,
        Inconsistent,
        MissingExtra,
        MissingObject,
        Misuse,
        NotDelivered,
        NotFound,
        NotNumbered,
        PreconditionsIgnored,
        QueueFull,
        SchemaMismatch,
        SnapshotExpired,
        SpoolFull,
        SpoolUnusable,
        StaleWrite,
        StoreForbidden,
        StoreFull,
        StoreMissing,
        StoreUnavailable,
        SwampError,
        Throttled,
        TooLarge,
        TryAgain,
        Undecided,
        UnknownFormat,
        UnsupportedPlatform,
        VersionConflict,
    )
    from swampstore.protocols.audit import AuditAck
    from swampstore.protocols.audit_changes import AuditChanges, AuditPosition
    from swampstore.protocols.queue import Waiting
    from swampstore.protocols.queue_status import QueueStatus, TicketStatus
    from swampstore.protocols.saved import Saved
    from swampstore.protocols.snapshot import Listed
    from swampstore.protocols.stream import EMPTY, StreamAck, StreamRecord
    from swampstore.protocols.update import DELETE, SKIP, Updated
    from swampstore.protocols.writer import Ack
    from swampstore.telemetry import metrics, spans
    from swampstore.values.audit import AuditRecord
    from swampstore.values.data import Datum, Model
    from swampstore.values.data_version import DataVersion
    from swampstore.values.deltas import Delete, Delta, Index, Put
    from swampstore.values.entry import Entry, Meta
    from swampstore.workers.audit_spool import SpoolStatus
    from swampstore.workers.report import CompactReport
    from swampstore.workers.restore import RestoreReport
    from swampstore.workers.sync import SyncOptions, SyncReport

__all__ = [
    "DELETE",
    "EMPTY",
    "SKIP",
    "Ack",
    "AlreadyExists",
    "AmbiguousAppend",
    "AsyncAuditTopic",
    "AsyncDataItem",
    "AsyncDatastore",
    "AsyncHeldLock",
    "AsyncNamespace",
    "AsyncPlace",
    "AsyncQueue",
    "AsyncSnapshot",
    "AsyncStream",
    "AsyncStreamView",
    "AuditAck",
    "AuditChanges",
    "AuditPosition",
    "AuditRecord",
    "AuditTopic",
    "BadConfig",
    "BadKey",
    "BadName",
    "BadURL",
    "BelowHorizon",
    "ClockOff",
    "CompactReport",
    "Conflict",
    "CorruptObject",
    "Damaged",
    "DataAck",
    "DataItem",
    "DataRemoval",
    "DataVersion",
    "Datastore",
    "Datum",
    "DeadForward",
    "DeadlinePassed",
    "Delete",
    "Delta",
    "Entry",
    "FenceConflict",
    "FenceRetriesExhausted",
    "FencedError",
    "FileSource",
    "FixTheCall",
    "FixTheSetup",
    "HeldLock",
    "Inconsistent",
    "Index",
    "Listed",
    "Meta",
    "MissingExtra",
    "MissingObject",
    "Misuse",
    "Model",
    "Namespace",
    "NamespaceStatus",
    "NotDelivered",
    "NotFound",
    "NotNumbered",
    "Place",
    "PreconditionsIgnored",
    "Put",
    "Queue",
    "QueueFull",
    "QueueStatus",
    "RestoreReport",
    "Saved",
    "SchemaMismatch",
    "Snapshot",
    "SnapshotExpired",
    "SpoolFull",
    "SpoolStatus",
    "SpoolUnusable",
    "StaleWrite",
    "StoreForbidden",
    "StoreFull",
    "StoreMissing",
    "StoreUnavailable",
    "Stream",
    "StreamAck",
    "StreamRecord",
    "StreamView",
    "SwampError",
    "SyncOptions",
    "SyncReport",
    "Throttled",
    "TicketStatus",
    "TooLarge",
    "TryAgain",
    "Undecided",
    "UnknownFormat",
    "UnsupportedPlatform",
    "Updated",
    "VersionConflict",
    "Waiting",
    "__version__",
    "audited",
    "metrics",
    "open",
    "open_async",
    "spans",
    "traced",
]

_HOMES = {
    "client.aio": "AsyncDatastore AsyncNamespace AsyncSnapshot open_async",
    "client.aio_shared": "AsyncHeldLock AsyncPlace AsyncQueue AsyncStream AsyncStreamView",
    "client.audit_aio": "AsyncAuditTopic",
    "client.audit_blocking": "AuditTopic",
    "client.audited": "audited",
    "client.blocking_shared": "HeldLock Place Queue Stream StreamView",
    "client.blocking": "Datastore Namespace Snapshot open",
    "client.data": "DataAck DataRemoval",
    "client.data_aio": "AsyncDataItem",
    "client.data_blocking": "DataItem",
    "client.sources": "FileSource",
    "client.status": "NamespaceStatus",
    "env.phases": "traced",
    "protocols.audit_changes": "AuditChanges AuditPosition",
    "protocols.audit": "AuditAck",
    "protocols.saved": "Saved",
    "protocols.snapshot": "Listed",
    "protocols.stream": "EMPTY StreamAck StreamRecord",
    "protocols.update": "DELETE SKIP Updated",
    "protocols.queue": "Waiting",
    "protocols.queue_status": "QueueStatus TicketStatus",
    "protocols.writer": "Ack",
    "values.audit": "AuditRecord",
    "values.data": "Datum Model",
    "values.data_version": "DataVersion",
    "values.deltas": "Delete Delta Index Put",
    "values.entry": "Entry Meta",
    "workers.audit_spool": "SpoolStatus",
    "workers.report": "CompactReport",
    "workers.sync": "SyncOptions SyncReport",
    "workers.restore": "RestoreReport",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'swampstore' has no attribute {name!r}")
    if name in ("metrics", "spans"):  # modules, not names in one
        value = import_module("swampstore.telemetry." + name)
    else:
        value = getattr(import_module("swampstore." + _HOME_OF.get(name, "errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
