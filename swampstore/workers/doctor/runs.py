"""The runs that the root names: each is there, has its size, and an index that holds what the root says of it.

Also what the root tells a gc of the blocks that are due: nothing is lost by it, but gcs fail or leave things behind.

Cheap: sizes come from listings; the indexes cost one ranged read each. Blocks are read by the deep examination alone.
"""

from __future__ import annotations

from swampstore.errors import NotFound, SwampError
from swampstore.stores.base import Get, Got, Head, Headed
from swampstore.values.root import RunRef
from swampstore.values.run import BlockInfo, decode_index, index_span
from swampstore.values.soonest import misfit
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight, read_root

_AT_ONCE = 32
RESTORE = "restore it from a backup of the store; until then reads of its keys fail and all others work"
_TELL_ANEW = "a gc fails at it, or leaves there what it should remove, until it is written again: put one of its keys anew and compact"


async def check_runs(sight: Sight) -> list[Finding]:
    """Missing runs and runs of another size."""
    found: list[Finding] = []
    suspects: list[RunRef] = []
    for ref in sight.root.runs:
        info = sight.objects.get(ref.name.partition("/")[0], {}).get(ref.name)
        if info is None:
            suspects.append(ref)
        elif info.size != ref.size:
            found.append(_wrong_size(sight, ref, info.size))
    return found + await _confirm(sight, suspects)


async def _confirm(sight: Sight, suspects: list[RunRef]) -> list[Finding]:
    """Those of ``suspects`` that are really missing: not there, and still named by a root read after that."""
    found: list[Finding] = []
    gone: list[RunRef] = []
    for start in range(0, len(suspects), _AT_ONCE):
        part = suspects[start : start + _AT_ONCE]
        answers = await sight.place.store.many([Head(sight.place.full(ref.name)) for ref in part])
        for ref, answer in zip(part, answers, strict=True):
            if isinstance(answer, NotFound):
                gone.append(ref)
            elif isinstance(answer, SwampError):
                raise answer
            elif isinstance(answer, Headed) and answer.info.size != ref.size:
                found.append(_wrong_size(sight, ref, answer.info.size))
    still = {ref.name for ref in (await read_root(sight.place))[0].root.runs} if gone else set()
    for ref in gone:
        if ref.name in still:
            text = f"it is missing; it held {ref.count:,} records from {ref.first!r} to {ref.last!r}"
            found.append(Finding("run-missing", "error", sight.place.full(ref.name), text, RESTORE))
    return found


def _wrong_size(sight: Sight, ref: RunRef, size: int) -> Finding:
    text = f"it has {size:,} bytes, the root says {ref.size:,}"
    return Finding("run-damaged", "error", sight.place.full(ref.name), text, RESTORE)


async def check_indexes(sight: Sight) -> list[Finding]:
    """Runs whose index does not hold what the root says: keys, counts, record sum, which blocks are due."""
    found: list[Finding] = []
    there = [ref for ref in sight.root.runs if ref.name in sight.objects.get(ref.name.partition("/")[0], {})]
    for start in range(0, len(there), _AT_ONCE):
        part = there[start : start + _AT_ONCE]
        good = [ref for ref in part if index_span(ref)[0] >= 0 and index_span(ref)[1] > 0]
        answers = await sight.place.store.many([Get(sight.place.full(ref.name), span=index_span(ref)) for ref in good])
        problems = dict.fromkeys((ref.name for ref in part), "the root says nonsense of where its index lies")
        for ref, answer in zip(good, answers, strict=True):
            if isinstance(answer, NotFound):
                problems[ref.name] = ""  # swept meanwhile, or missing, which is told elsewhere
            elif isinstance(answer, SwampError):
                raise answer
            else:
                assert isinstance(answer, Got)
                name = sight.place.full(ref.name)
                problems[ref.name], due = index_problems(ref, answer.body, name)
                if due:
                    found.append(Finding("due-wrong", "warning", name, due, _TELL_ANEW))
        for name, problem in problems.items():
            if problem:
                found.append(Finding("run-damaged", "error", sight.place.full(name), problem, RESTORE))
    return found


def index_problems(ref: RunRef, stored: bytes, name: str) -> tuple[str, str]:
    """Why the index in ``stored`` does not belong to ``ref``, and what ``ref`` tells wrongly of when its blocks are due.

    Empty strings where all is well; the second is not looked for in an index that belongs elsewhere.
    """
    try:
        index = decode_index(stored, name)
    except SwampError as error:
        return f"its index cannot be read: {error}", ""
    problem = _difference(ref, index)
    return problem, "" if problem else misfit(ref.soonest, index)


def _difference(ref: RunRef, index: list[BlockInfo]) -> str:
    if not index:
        return "its index is empty"
    held = {
        "first key": (index[0].first, ref.first),
        "last key": (index[-1].last, ref.last),
        "count": (sum(info.count for info in index), ref.count),
        "tombstones": (sum(info.tombstones for info in index), ref.tombstones),
        "record sum": (sum(info.sum for info in index), ref.sum),
    }
    for what, (found, said) in held.items():
        if found != said:
            return f"the {what} in its index is {found!r}, the root says {said!r}"
    return ""
