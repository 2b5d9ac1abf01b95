"""What the caller is in the middle of: an update, a held lock, the ``build`` of a stream's update.

Waiting for oneself, or moving what one is about to be judged by, is an error at once, not a wait or a struggle for ever.

Invariant: only a call that would wait for its own caller, or would make it start over for ever, is refused. Callers are
told apart by context: threads that did not begin in one have their own, tasks inherit that of their maker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from swampstore.errors import Misuse
from swampstore.protocols.place import Place

_updating: ContextVar[frozenset[str]] = ContextVar("swampstore_updating", default=frozenset())
_building: ContextVar[frozenset[tuple[str, str]]] = ContextVar("swampstore_building", default=frozenset())
_holding: ContextVar[frozenset[tuple[str, str]]] = ContextVar("swampstore_holding", default=frozenset())


def _scope(place: Place) -> str:
    """One namespace of one store, however often it was opened."""
    return f"{place.store.url} {place.names.namespace}"


def check_free(place: Place, lock: str) -> None:
    """Raise ``Misuse`` where waiting for ``lock`` would be waiting for oneself."""
    scope = _scope(place)
    if scope in _updating.get():
        raise Misuse(
            "an update or a lock inside an update of the same namespace",
            hint="name all keys in one update: update([key, key], fn)",
        )
    if (scope, lock) in _holding.get():
        raise Misuse(f"lock {lock!r} is held by this very caller", hint="write through what lock() gave: held.put(...)")


@contextmanager
def inside(place: Place, lock: str) -> Iterator[None]:
    """The block is an update that waits in the queue of ``lock``. Raises ``Misuse`` (see :func:`check_free`)."""
    check_free(place, lock)
    scope = _scope(place)
    _updating.set(_updating.get() | {scope})
    try:
        yield
    finally:
        _updating.set(_updating.get() - {scope})


def enter(place: Place, lock: str) -> None:
    """From now on the caller holds ``lock``. Raises ``Misuse`` (see :func:`check_free`)."""
    check_free(place, lock)
    _holding.set(_holding.get() | {(_scope(place), lock)})


def leave(place: Place, lock: str) -> None:
    """The caller holds ``lock`` no longer."""
    _holding.set(_holding.get() - {(_scope(place), lock)})


# --- streams ----------------------------------------------------------------------------------------------------------


def check_not_building(place: Place, stream: str) -> None:
    """Raise ``Misuse`` inside the ``build`` of ``stream``: what it appends moves the tail that ``build`` decides by."""
    if (_scope(place), stream) in _building.get():
        raise Misuse(
            f"stream {stream!r} is appended to inside the build of its own update",
            hint="return the records from build; it may append to other streams",
        )


@contextmanager
def building(place: Place, stream: str) -> Iterator[None]:
    """The block is the ``build`` of an update of ``stream``."""
    mine = (_scope(place), stream)
    _building.set(_building.get() | {mine})
    try:
        yield
    finally:
        _building.set(_building.get() - {mine})
