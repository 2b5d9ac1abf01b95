"""What the caller is in the middle of: an update, a held lock, the ``build`` of a stream's update.

Waiting for oneself, or moving what one is about to be judged by, is an error at once, not a wait or a struggle for ever.

Invariant: only a call that would wait for its own caller, or would make it start over for ever, is refused. Callers are
told apart by context: threads that did not begin in one have their own, tasks inherit that of their maker. However the
middle ends, by an exception of a signal handler at any point too, it is forgotten: it is noted inside the ``try`` that
forgets it by one call. (The ``__enter__`` of a context manager that is written in Python could be left without an end.)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from swampstore.errors import Misuse
from swampstore.protocols.place import Place

T = TypeVar("T")

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


async def inside(place: Place, lock: str, work: Callable[[], Awaitable[T]]) -> T:
    """What ``work()`` gives: an update that waits in the queue of ``lock``. Raises ``Misuse`` (see :func:`check_free`)."""
    check_free(place, lock)
    before = _updating.get()
    within = before | {_scope(place)}
    try:
        _updating.set(within)
        return await work()
    finally:
        _updating.set(before)


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


async def building(place: Place, stream: str, build: Callable[[], Any]) -> Any:
    """What ``build()`` of an update of ``stream`` gives, awaited if it is awaitable."""
    before = _building.get()
    within = before | {(_scope(place), stream)}
    try:
        _building.set(within)
        wanted = build()
        return await wanted if inspect.isawaitable(wanted) else wanted
    finally:
        _building.set(before)
