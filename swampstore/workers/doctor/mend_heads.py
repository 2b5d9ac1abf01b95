"""The repair of heads: the record that says the highest ordinal a datum was ever given."""

from __future__ import annotations

from swampstore.workers.doctor.mending import Ground, Told


async def mend(ground: Ground, told: Told) -> None:
    """Raise heads that are below an ordinal that exists."""
