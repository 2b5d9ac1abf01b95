"""The workloads: what is made ready before the clock runs, and what one measured operation is.

Invariant: only the scratch namespace and the scratch folder of the job are ever written to.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from swampstore_cli.bench.job import Job

if TYPE_CHECKING:
    from swampstore.client.blocking import Namespace

_BATCH = 1000


class Turn(NamedTuple):
    """Whose operation it is: of process ``process``, thread ``thread``, its ``number``-th (all from 0)."""

    process: int
    thread: int
    number: int

    @property
    def name(self) -> str:
        """A name that no other operation of the run has."""
        return f"{self.process}-{self.thread}-{self.number}"


class Workload(NamedTuple):
    """``op`` is the operation as it is called in metrics.

    ``prepare`` runs once, ``ready`` before each operation (its time does not count), ``act`` is what is measured.
    """

    op: str
    prepare: Callable[[Namespace, Job], None]
    ready: Callable[[Namespace, Job, Turn], Any]
    act: Callable[[Namespace, Job, Turn], Any]


def _nothing(*_: object) -> None:
    """There is nothing to make ready."""


def _put(namespace: Namespace, job: Job, turn: Turn) -> Any:
    return namespace.put(f"{turn.process:02}/{turn.name}", os.urandom(job.size))


def _fill(namespace: Namespace, job: Job) -> None:
    """Put the entries that are read, and compact, so that most of them lie where most lie in a store that is used."""
    for start in range(0, job.items, _BATCH):
        keys = range(start, min(start + _BATCH, job.items))
        namespace.put_many({_key(number): os.urandom(job.size) for number in keys})
    namespace.compact()


def _key(number: int) -> str:
    return f"{number % 100:02}/{number:08}"


def _read(namespace: Namespace, job: Job, turn: Turn) -> Any:
    dice = random.Random(f"{turn}")
    return namespace.read(_key(dice.randrange(job.items)))


def _count(namespace: Namespace, job: Job, turn: Turn) -> Any:
    key = f"counter-{random.Random(f'{turn}').randrange(job.items)}"
    return namespace.update(key, lambda held: str(int(held or b"0") + 1).encode())


def _new_files(_: Namespace, job: Job, turn: Turn) -> None:
    folder = _tree(job, turn) / "bench" / turn.name
    folder.mkdir(parents=True)
    for number in range(job.items):
        (folder / f"{number}").write_bytes(os.urandom(job.size))


def _tree(job: Job, turn: Turn) -> Path:
    return Path(job.folder) / f"tree-{turn.process}-{turn.thread}"


def _sync(namespace: Namespace, job: Job, turn: Turn) -> Any:
    return namespace.sync(_tree(job, turn))


def _log(namespace: Namespace, job: Job, turn: Turn) -> None:
    """Records to fold, in segments of a hundred."""
    for start in range(0, job.items, 100):
        some = range(start, min(start + 100, job.items))
        namespace.put_many({f"{turn.name}/{number}": os.urandom(min(job.size, 4000)) for number in some})


def _fold(namespace: Namespace, _: Job, __: Turn) -> Any:
    return namespace.compact(full=False)


WORKLOADS = {
    "burst": Workload("append", _nothing, _nothing, _put),
    "append": Workload("append", _nothing, _nothing, _put),
    "read": Workload("read", _fill, _nothing, _read),
    "rmw": Workload("update", _nothing, _nothing, _count),
    "sync": Workload("sync", _nothing, _new_files, _sync),
    "fold": Workload("fold", _nothing, _log, _fold),
}
