"""This machine's clock against the store's."""

from __future__ import annotations

from swampstore.limits import CLOCK_OFF_MS
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight

_NOTABLE_MS = 30_000


async def check_clock(sight: Sight) -> list[Finding]:
    """More than 5 minutes off: this machine refuses to write. One request."""
    env = sight.place.env
    before = env.wall_ms()
    store = await sight.place.store.now()
    off = (before + env.wall_ms()) // 2 - store
    text = f"this machine's clock is {off / 1000:+.0f} s from the store's"
    if abs(off) > CLOCK_OFF_MS:
        return [Finding("clock-off", "error", "", text, "set the clock (NTP): until then no write is sent from here")]
    if abs(off) > _NOTABLE_MS:
        return [Finding("clock-drifts", "warning", "", text, "set the clock (NTP) before it is 5 minutes off")]
    return []
