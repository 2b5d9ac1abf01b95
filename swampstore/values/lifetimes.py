"""Lifetimes, retention and times as text: ``30d``, ``infinite``, a count to keep, ``2026-06-01T00:00:00.000Z``.

Invariants: a month is 30 days and a year 365; text that means nothing raises, and never becomes a default.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

from swampstore.errors import BadConfig

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
UNIT_MS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS, "mo": 30 * DAY_MS, "y": 365 * DAY_MS}
WORDS = frozenset({"ephemeral", "infinite", "job", "workflow"})
MOST_MS = (1 << 63) - 1
_DURATION = re.compile(r"([0-9]{1,9})(mo|[mhdwy])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Lifetime(msgspec.Struct, frozen=True):
    """How long a datum lives: a word of the layout, or ``duration`` with its milliseconds."""

    kind: str
    ms: int = 0


class Keep(msgspec.Struct, frozen=True):
    """Which old versions stay: the newest ``count``, or those younger than ``ms``. The newest always stays."""

    count: int | None = None
    ms: int | None = None


def parse_duration(text: str) -> int:
    """Milliseconds of ``<n>(m|h|d|w|mo|y)``. Raises ``ValueError``."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"{text[:50]!r} is not a duration such as 90m, 12h, 30d, 2w, 6mo or 1y")
    return int(match[1]) * UNIT_MS[match[2]]


def parse_lifetime(text: str) -> Lifetime:
    """A duration, or one of ``ephemeral``, ``infinite``, ``job``, ``workflow``. Raises ``ValueError``."""
    return Lifetime(text) if text in WORDS else Lifetime("duration", parse_duration(text))


def parse_keep(text: str) -> Keep:
    """A count of versions, or a duration. Raises ``ValueError``."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return Keep(count=int(text))
    return Keep(ms=parse_duration(text))


def check_lifetime(text: object) -> str:
    """``text`` itself if it is a lifetime. Raises ``BadConfig``."""
    try:
        if isinstance(text, str):
            parse_lifetime(text)
            return text
    except ValueError:
        pass
    raise BadConfig(
        f"{str(text)[:50]!r} is not a lifetime",
        hint="90m, 12h, 30d, 2w, 6mo or 1y, or one of: infinite, ephemeral, job, workflow",
    )


def check_new_lifetime(text: object) -> str:
    """Like :func:`check_lifetime`, and not over at once: what is put so would never be seen. Raises ``BadConfig``."""
    lifetime = check_lifetime(text)
    found = parse_lifetime(lifetime)
    if found.kind == "duration" and not found.ms:
        raise BadConfig(
            f"a lifetime of {lifetime} is over at once", hint="at least 1m; or delete what is there instead"
        )
    return lifetime


def check_keep(keep: object) -> str:
    """The text of a retention: a count, or a duration; ``None`` is the empty text. Raises ``BadConfig``."""
    if keep is None:
        return ""
    text = str(keep) if type(keep) is int else keep
    try:
        if isinstance(text, str):
            parse_keep(text)
            return text
    except ValueError:
        pass
    raise BadConfig(f"{str(keep)[:50]!r} is not a retention", hint="a count of versions (5) or an age (30d)")


def expires_at(lifetime: str, created_ms: int) -> int:
    """When what was made at ``created_ms`` ends, by its lifetime; 0 when no time is fixed by it."""
    found = parse_lifetime(lifetime) if lifetime else Lifetime("infinite")
    return min(created_ms + found.ms, MOST_MS) if found.kind == "duration" else 0


def parse_time(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 time; without an offset it is UTC. Raises ``ValueError``."""
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MS


def format_time(ms: int) -> str:
    """``2026-06-01T00:00:00.000Z``; the empty text for a time that no calendar date stands for."""
    try:
        moment = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z" if moment.year >= 1000 else ""
