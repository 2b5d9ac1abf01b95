"""What the caller is in the middle of: an update, a held lock. Waiting for oneself is an error, not a wait for ever.

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
