"""Times and spans as people type them: ``2h``, ``7d``, ``1mo``, ``2026-11-01``, ``2026-11-01T10:30Z``."""

from __future__ import annotations

import time

from swampstore.errors import Misuse
from swampstore.values.lifetimes import parse_duration, parse_time

SPAN_HINT = "such as 30m, 12h, 7d, 2w, 1mo or 1y"
TIME_HINT = "such as 2026-11-01, 2026-11-01T10:30Z, or a span that lies back: 2h, 7d"


def now_ms() -> int:
    """This machine's clock: good enough to show ages, and for spans that people type."""
    return time.time_ns() // 1_000_000


def span_ms(text: str, option: str) -> int:
    """Milliseconds of a span. Raises ``Misuse``."""
    try:
        return parse_duration(text)
    except ValueError:
        raise Misuse(f"{option} {text!r} is not a span of time", hint=SPAN_HINT) from None


def moment_ms(text: str, option: str) -> int:
    """Milliseconds since the epoch of a time (UTC unless it says otherwise), or of a span before now. Raises ``Misuse``."""
    try:
        return now_ms() - parse_duration(text)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError:
        raise Misuse(f"{option} {text!r} is not a time", hint=TIME_HINT) from None
