"""Delete many data side by side: each is a small append of its own, and appends of many threads travel together."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swampstore.errors import NotFound

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace
    from swampstore.values.data import Model

SIDE_BY_SIDE = 16


@dataclass
class Deleted:
    """What really went: versions that came meanwhile too, and none that somebody else has deleted."""

    data: int = 0
    versions: int = 0
    bytes: int = 0


def delete_all(namespace: Namespace, wanted: Iterable[tuple[Model, str]], version: str | None = None) -> Deleted:
    """Delete every datum of ``wanted``, or its one ``version``. Raises the first error once all have been tried."""

    def delete_one(one: tuple[Model, str]) -> tuple[int, int]:
        try:
            gone = namespace.data(*one).delete(version).removed
        except NotFound:
            return 0, 0  # somebody else was first: it is not there
        return len(gone), sum(found.size for found in gone)

    done = Deleted()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        for versions, size in threads.map(delete_one, wanted):
            done.data += bool(versions)
            done.versions += versions
            done.bytes += size
    return done
