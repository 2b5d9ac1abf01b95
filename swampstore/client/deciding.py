"""What ``update`` takes: one key or many, a function of contents or of entries; turned into the core's one form."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from swampstore.errors import Misuse
from swampstore.protocols.update import SKIP, Decide, Seen
from swampstore.values.keys import plain_text


def deciding(
    keys: str | Sequence[str], fn: Callable[[Any], Any], *, entries: bool, awaits: bool
) -> tuple[list[str], Decide]:
    """``(keys, decide)``. ``fn`` gets contents or ``None`` (with ``entries``: ``(entry, contents)``), for several keys a
    dict of them; it returns contents, ``DELETE`` or ``SKIP``, for several keys a dict of them or ``SKIP``. ``awaits`` says
    whether it may return an awaitable. Raises ``Misuse``."""
    if not callable(fn):
        raise Misuse("update needs a function", hint='for example ns.update("n", lambda old: b"1")')
    single = plain_text(keys) if isinstance(keys, str) else None
    names = [single] if single is not None else list(keys)

    def decide(held: dict[str, Seen]) -> Any:
        given = {key: (seen.entry, seen.data) if entries else seen.data for key, seen in held.items()}
        answer = fn(given[single] if single is not None else given)
        if inspect.isawaitable(answer):
            if not awaits:
                if inspect.iscoroutine(answer):
                    answer.close()
                raise Misuse("the update function is asynchronous", hint="use open_async(), or a plain function")
            return _later(answer, single)
        return _wrapped(answer, single)

    return names, decide


async def _later(answer: Awaitable[Any], single: str | None) -> Any:
    return _wrapped(await answer, single)


def _wrapped(answer: Any, single: str | None) -> Any:
    return answer if answer is SKIP or single is None else {single: answer}
