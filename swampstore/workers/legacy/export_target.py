"""Whether a target of an export is a store of this library, or a namespace of one: there an export never goes.

Its files would lie among objects that are not its own, and keys of users may be called like them. No force helps: there
is nothing to win by it. Costs a few requests per name at the top of the target. What lies around it: :mod:`.export_around`.

Invariants: what is only called like an object of a store, and holds something else, is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swampstore.errors import BadName, Conflict
from swampstore.values.frame import MAGIC
from swampstore.values.keys import check_namespace
from swampstore.values.lane_file import MAGIC as LANE_MAGIC
from swampstore.values.names import Names

if TYPE_CHECKING:
    from swampstore.workers.legacy.export_sink import Sink

_ANY = Names("any")
_ROOT = _ANY.root.removeprefix(_ANY.prefix)
_LOG = _ANY.log.removeprefix(_ANY.prefix)
_SHARD = _ANY.folder("shard").removeprefix(_ANY.prefix)
OUTSIDE_HINT = "name an empty or new place outside of every store, such as a folder beside it"


async def refuse_store(sink: Sink) -> None:
    """Raise ``Conflict`` for a target that is a store or a namespace of one."""
    if await holds_a_namespace(sink) or await _unfolded(sink, ""):
        raise Conflict(f"the target {sink.url} is a namespace of a store", hint=OUTSIDE_HINT)
    for top in await sink.tops():
        try:
            under = f"{check_namespace(top)}/"
        except BadName:
            continue
        if await holds_a_namespace(sink, under) or await _unfolded(sink, under):
            raise Conflict(f"the target {sink.url} is a store: {top!r} in it is a namespace", hint=OUTSIDE_HINT)


async def holds_a_namespace(sink: Sink, under: str = "") -> bool:
    """Whether the root of a namespace of this library lies in the target itself (or in its folder ``under``)."""
    try:
        root = await sink.read(under + _ROOT)
    except Conflict:  # a folder or a link is no root
        return False
    return root is not None and root.startswith(MAGIC)


async def _unfolded(sink: Sink, under: str) -> bool:
    """Whether there is a log, or shards whose root was lost: a namespace without a root."""
    return await _first_is_ours(sink, under, _LOG) or await _first_is_ours(sink, under, _SHARD)


async def _first_is_ours(sink: Sink, under: str, folder: str) -> bool:
    async for group in sink.listing(under + folder):
        for item in group:
            rel = item.rel.removeprefix(under)
            if _ANY.is_ours(_ANY.prefix + rel):
                return folder == _SHARD or await _is_framed(sink, item.rel)
        return False
    return False


async def _is_framed(sink: Sink, rel: str) -> bool:
    try:
        body = await sink.read(rel)
    except Conflict:
        return False
    return body is not None and body.startswith((MAGIC, LANE_MAGIC))


def is_internal(rel: str) -> bool:
    """Whether an object of a namespace could be called so, seen from the namespace."""
    return _ANY.is_ours(_ANY.prefix + rel)
