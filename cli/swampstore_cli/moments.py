"""Times and spans as people type them: ``2h``, ``7d``, ``1mo``, ``2026-11-01``, ``2026-11-01T10:30Z``."""

from __future__ import annotations

import re
import time

from swampstore.errors import Misuse
from swampstore.values.lifetimes import parse_duration, parse_time

SPAN_HINT = "such as 30m, 12h, 7d, 2w, 1mo or 1y"
TIME_HINT = "such as 2026-11-01, 2026-11-01T10:30Z, or a span that lies back: 2h, 7d"


_PAUSE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PAUSE_HINT = "such as 500ms, 30s, 5m, 1h or 1d"


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


def pause_s(text: str, option: str) -> float:
    """Seconds of a short span: ``30s``. Raises ``Misuse``."""
    found = _PAUSE.fullmatch(text)
    if not found:
        raise Misuse(f"{option} {text!r} is not a span of time", hint=PAUSE_HINT)
    return float(found[1]) * _UNIT_S[found[2]]
