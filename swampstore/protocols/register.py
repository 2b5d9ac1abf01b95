"""The root register: read the root, replace it by compare-and-swap.

Invariants:
- Every publish is checked against the root it follows (:func:`swampstore.values.root.check_successor`), before any
  request is sent.
- A CAS whose answer was lost is settled by nonces: the current root carries its own nonce and those of the last few
  before it, so "mine, and others came after" is told from "not mine".
- Every publish carries the settling mark on: watermarks of an older root with the store's time at which that root was
  published. Only what such a mark covers, and only after the delete grace, may be deleted from the log.
- The time of a garbage item is when the root that first called it garbage was published: its maker cannot know that
  time (its own publish may be late), so the next publisher, who has read that root, writes it down.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import AlreadyExists, NotFound, StaleWrite, SwampError
from swampstore.limits import DELETE_GRACE_MS, NONCES, STORE_TIME_GRAIN_MS
from swampstore.protocols.place import Place
from swampstore.stores.base import Create, Get, Got, NotModified, Outcome, Replace, outcome
from swampstore.values.root import (
    NO_ROOT,
    Garbage,
    Proved,
    Root,
    Settling,
    check_successor,
    decode_root,
    encode_root,
    garbage_list,
)

NONCE_BYTES = 12


class Seen(msgspec.Struct, frozen=True):
    """A root as read. ``modified`` is when it was published, ``time`` when it was read (store's time, ms).

    ``etag`` is empty when there is no root (version 0).
    """

    root: Root
    etag: str
    modified: int
    time: int


class Register:
    """Reads and publishes the root of one namespace. Keeps the last root seen, so a re-read costs no body."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._last: Seen | None = None
        self.known_new = False
        """Whether a missing root was found to be that of a namespace which never had one."""
        self.proof: Proved | None = None
        """Put into the first root this process creates."""

    @property
    def last(self) -> Seen | None:
        """The last root seen, however old."""
        return self._last

    def request(self) -> Get:
        """The read as a request, to go side by side with others."""
        last = self._last
        return Get(self._place.names.root, if_none_match=last.etag if last and last.etag else None)

    def take(self, answer: Outcome) -> Seen:
        """The root in the answer to :meth:`request`. Raises what the read raised, ``CorruptObject``, ``UnknownFormat``."""
        last = self._last
        match answer:
            case Got(body=body, etag=etag, modified=modified, time=time):
                seen = Seen(decode_root(body, self._place.names.root), etag, modified, time)
            case NotModified(time=time) if last is not None:
                seen = msgspec.structs.replace(last, time=time)
            case NotFound(time=time):
                seen = Seen(NO_ROOT, "", 0, time or self._place.clock.now_ms())
            case SwampError():
                try:
                    raise answer
                finally:
                    del answer  # see `answered`
            case _:
                raise AssertionError(f"not an answer to a read of the root: {answer!r}")
        if not isinstance(answer, SwampError):
            self._place.clock.calibrate(seen.time)
            self._place.clock.observe(seen.root.hlc)
        if last is None or seen.root.version >= last.root.version or seen.root.born != last.root.born:
            self._last = seen
        return seen

    async def read(self) -> Seen:
        """The root now: one request."""
        return self.take(await outcome(self._place.store, self.request()))

    async def publish(self, seen: Seen, successor: Root) -> Seen:
        """Replace the root seen by ``successor`` (its version, nonces and settling mark are set here).

        Returns the root as published, or a later one that follows it. Raises ``StaleWrite`` if somebody else was first
        and ``Undecided`` if the outcome stayed unknown (a later read settles it: the nonce is in the root or is not).
        """
        place, old = self._place, seen.root
        nonce = place.env.random_bytes(NONCE_BYTES)
        new = msgspec.structs.replace(
            successor,
            version=old.version + 1,
            nonce=nonce,
            nonces=((old.nonce, *old.nonces) if old.nonce else ())[:NONCES],
            born=old.born or successor.born or nonce,
            proof=successor.proof or self.proof,
            settling=_settling(seen),
            garbage_raw=_dated(successor, seen),
        )
        check_successor(old, new)
        body = encode_root(new)
        when = Replace(seen.etag) if seen.etag else Create()
        try:
            stored = await place.store.put(place.names.root, body, when)
        except (StaleWrite, AlreadyExists) as error:
            now = self.take(error.found) if isinstance(error.found, Got) else await self.read()
            if nonce in (now.root.nonce, *now.root.nonces):
                return now
            raise StaleWrite(
                f"{place.names.root}: another process published version {now.root.version} first"
            ) from error
        except NotFound as error:
            raise StaleWrite(
                f"{place.names.root}: it is gone", hint="was the namespace deleted? open the store again"
            ) from error
        place.clock.calibrate(stored.time)
        self._last = Seen(new, stored.etag, stored.time, stored.time)
        return self._last


def _settling(seen: Seen) -> Settling | None:
    """The settling mark of the next root: kept until it is ripe, then moved up to the root seen."""
    held = seen.root.settling
    if held is not None and not ripe(held, seen.time):
        return held
    if not seen.root.watermarks:
        return None
    return Settling(seen.modified, seen.root.watermarks)


def _dated(successor: Root, seen: Seen) -> msgspec.Raw:
    """The garbage list with the time of publication of those items that the root seen was the first to name."""
    garbage, fresh = successor.garbage, seen.root.version
    if not any(item.since == fresh for item in garbage):
        return successor.garbage_raw
    return garbage_list(
        [Garbage(item.name, fresh, garbage_since_ms(item, seen)) if item.since == fresh else item for item in garbage]
    )


def garbage_since_ms(item: Garbage, seen: Seen) -> int:
    """When a garbage item of the root seen was published as such (store's time, ms)."""
    return max(item.time, seen.modified) if item.since == seen.root.version else item.time


def ripe(mark: Settling, store_ms: int) -> bool:
    """Whether the delete grace has passed since the mark's root was published."""
    return store_ms - mark.time >= DELETE_GRACE_MS + 2 * STORE_TIME_GRAIN_MS
