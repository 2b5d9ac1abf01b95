"""What the checks look at: the objects of a namespace by name and size, its log, and its root, read once.

Order: objects, then the log, then the root. So what the root names existed when it was read, or was created after its
folder was listed; a check that misses an object looks for it by name before it says so.

Invariants: nothing here raises for what lies in the store; what cannot be decoded is kept as a problem.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from swampstore.errors import NotFound, SwampError, UnknownFormat
from swampstore.limits import LIST_PAGE, SEGMENTS_PER_FETCH
from swampstore.protocols.log import Listing, fetch, listed_slots, parse_listing, with_tails
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.protocols.slots import Broken, SegmentGone
from swampstore.stores.base import Got, Info, List, Page
from swampstore.values.data import parse_path
from swampstore.values.entry import CONFLICT, OPAQUE
from swampstore.values.names import Names, UniqueKind
from swampstore.values.root import NO_ROOT, Root, decode_root
from swampstore.values.version import put_of
from swampstore.workers.salvage import Salvaged, records_of, salvage

FOLDERS: tuple[UniqueKind, ...] = ("l0", "shard", "eph", "audit", "pack", "pin")
"""What is listed besides the log. Blobs are not: there may be millions, and the root does not name them."""


class Sight(msgspec.Struct, frozen=True):
    """See the module. ``objects`` maps a folder to its objects by ``<kind>/<unique>``; ``time`` is the store's, in ms.

    ``problem`` says why the root could not be decoded; ``root`` is then ``NO_ROOT``. ``newer`` says that it is of a newer
    program, which is no damage.
    """

    place: Place
    register: Register
    seen: Seen
    problem: str
    newer: bool
    listing: Listing
    objects: dict[str, dict[str, Info]]
    saved: tuple[Info, ...]
    time: int
    orphaned: bool = False
    """There is no root, and a level-0 run holds what the log does not: there was one that covered it."""

    @property
    def root(self) -> Root:
        return self.seen.root

    @property
    def lost(self) -> bool:
        """Whether there is no readable root though there must have been one."""
        if self.root.version:
            return False
        begun = any(slots[0] != 1 for slots in self.listing.lanes.values())
        return bool(self.problem or begun or self.orphaned or self.objects["shard"])


async def look(place: Place, register: Register) -> Sight:
    """Read what the checks look at. Raises only what the store raises."""
    first = [List(place.names.folder(kind), limit=LIST_PAGE) for kind in FOLDERS]
    answers = await place.store.many([*first, List(place.names.saved(""), limit=LIST_PAGE)])
    objects: dict[str, dict[str, Info]] = {}
    for kind, answer in zip(FOLDERS, answers, strict=False):
        items = await _rest(place, place.names.folder(kind), _page(answer))
        parsed = ((place.names.parse_unique(item.name), item) for item in items)
        objects[kind] = {f"{kind}/{name[1]}": item for name, item in parsed if name is not None}
    saved = await _rest(place, place.names.saved(""), _page(answers[-1]))
    items, began = await _list_log(place)
    seen, problem, newer = await read_root(place)
    listing = await _read_log(place, items, began, seen.root)
    sight = Sight(place, register, seen, problem, newer, listing, objects, tuple(saved), seen.time)
    if seen.root.version or sight.lost or not objects["l0"]:
        return sight
    return msgspec.structs.replace(sight, orphaned=await _more_than_the_log(sight))


async def _more_than_the_log(sight: Sight) -> bool:
    """Whether a level-0 run holds a record that no listed segment does.

    A first fold that crashed leaves a run and the whole log; only a root that was published lets segments be deleted.
    """
    place = sight.place
    known: set[tuple[str, bytes]] = set()
    slots = listed_slots(sight.listing)
    for start in range(0, len(slots), SEGMENTS_PER_FETCH):
        try:
            for found in await fetch(place, slots[start : start + SEGMENTS_PER_FETCH]):
                if isinstance(found, Broken):
                    return False  # it may have held anything
                known.update((record.key, put_of(record.version)) for record in found.records)
        except SegmentGone:
            return False
    async for run in salvage(place, "l0", sight.objects["l0"].values()):
        if isinstance(run, Salvaged):
            async for record in records_of(place, run):
                made = record.flags & (OPAQUE | CONFLICT) or parse_path(record.key) is not None  # maybe by the fold
                if not made and (record.key, put_of(record.version)) not in known:
                    return True
    return False


async def list_log(place: Place, root: Root = NO_ROOT) -> Listing:
    """The log's listing, without judging it; of lane files what lies behind the watermarks of ``root``."""
    return await _read_log(place, *await _list_log(place), root)


async def _list_log(place: Place) -> tuple[list[Info], int]:
    page = await place.store.list(place.names.log, limit=LIST_PAGE)
    items = await _rest(place, place.names.log, page)
    place.clock.calibrate(page.time)
    return items, page.time


async def _read_log(place: Place, items: list[Info], began: int, root: Root) -> Listing:
    listing, files = parse_listing(place, items, began)
    return (await with_tails(place, listing, files, root))[0] if files else listing


async def read_root(place: Place) -> tuple[Seen, str, bool]:
    """``(root, problem, whether it is of a newer program)``; never from a cache."""
    name = place.names.root
    try:
        got = await place.store.get(name)
    except NotFound:
        return Seen(NO_ROOT, "", 0, await place.store.now()), "", False
    assert isinstance(got, Got)
    place.clock.calibrate(got.time)
    try:
        return Seen(decode_root(got.body, name), got.etag, got.modified, got.time), "", False
    except UnknownFormat as error:
        return Seen(NO_ROOT, got.etag, got.modified, got.time), str(error), True
    except SwampError as error:
        return Seen(NO_ROOT, got.etag, got.modified, got.time), str(error), False


async def pages(place: Place, prefix: str) -> AsyncIterator[tuple[Info, ...]]:
    """Every object below ``prefix``, a page at a time."""
    after = ""
    while True:
        page = await place.store.list(prefix, start_after=after, limit=LIST_PAGE)
        if page.items:
            yield page.items
            after = page.items[-1].name
        if not page.more:
            return


def _page(answer: object) -> Page:
    if isinstance(answer, SwampError):
        raise answer
    assert isinstance(answer, Page)
    return answer


async def _rest(place: Place, prefix: str, page: Page) -> list[Info]:
    """The items of ``page`` and of those that follow it."""
    items = list(page.items)
    while page.more:
        page = await place.store.list(prefix, start_after=items[-1].name, limit=LIST_PAGE)
        items += page.items
    return items


def lane_names(names: Names, lane: str, slots: list[int]) -> str:
    """Some slots of a lane, for people."""
    shown = ", ".join(str(slot) for slot in slots[:5]) + (" ..." if len(slots) > 5 else "")
    return f"{names.log}{lane}/ slots {shown}"
