"""The janitor of a run: it waits for the end of its input, which every process of the run holds open, and then tidies up.

Invariants:
- It comes when the last of them is gone, however it went, so nobody writes on behind it.
- Only what the run has made is removed. Half-written files bear the process id of who wrote them: those of the run's own
  processes go, when they are gone and the file has been still for a while. (In a folder that several machines share,
  a process elsewhere may have the same number; a file that it is writing is not still.)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Set

from swampstore.client.blocking import open as open_store
from swampstore.errors import SwampError
from swampstore.stores.disk import alive
from swampstore.stores.local import LocalStore
from swampstore.stores.urls import LocalPlace, parse_url
from swampstore_cli.bench.job import Job, told

STILL_S = 0.5
GONE_S = 10.0
"""How long a process that was killed, and has let go of its end of the input, may take to be gone."""


def tidy(job: Job, workers: Set[int]) -> str:
    """Remove what the run has made; ``workers`` are its process ids. ``removed N``, or ``failed {...}``."""
    shutil.rmtree(job.folder, ignore_errors=True)
    try:
        with open_store(job.store, timeout=job.timeout) as store:
            removal = store.delete_namespace(job.namespace, dry_run=False)
        remove_half_written(job.store, workers)
    except SwampError as error:
        return f"failed {told(error)}"
    return f"removed {removal.objects}"


def remove_half_written(url: str, workers: Set[int]) -> None:
    """What processes that were killed in the middle of a write have left in a local store."""
    place = parse_url(url)
    if not isinstance(place, LocalPlace):
        return
    ends = time.monotonic() + GONE_S
    while any(map(alive, workers)) and time.monotonic() < ends:
        time.sleep(0.01)
    store = LocalStore(place.path)
    if store.clean_temp(-1, of=workers, dry_run=True):
        time.sleep(STILL_S)
        store.clean_temp(STILL_S, of=workers)
