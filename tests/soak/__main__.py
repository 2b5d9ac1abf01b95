"""Everything at once in real processes, for as long as it is told, with faults; then a deep examination.

    python -m tests.soak --minutes 120                         # a fresh local store
    python -m tests.soak --minutes 10 --store emulator --rate 1
    python -m tests.soak --minutes 10 --store URL              # any store; its namespaces soak and soak-trees are used

Processes write (alone, in batches, under locks, in streams, versions, audit records, trees), read and check what they read
against what was acknowledged, queue, compact, collect garbage and examine. Some are killed and come back, all are stopped
now and then, and store calls fail by ``--odds``. Graces of hours and days are minutes, so that what they hold back reaches
its greatest extent in the first quarter, and most of the run deletes for good. Ends with 1 after anything that does not hold, and keeps the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from swampstore.protocols import place
from tests.processes.broken import BROKEN
from tests.processes.rounds import backend, load_all
from tests.servers import AWS_ENVIRONMENT
from tests.soak.crew import Crew, Rhythm, last_look
from tests.soak.desk import Setting
from tests.soak.gauges import Summary
from tests.soak.roles_more import ROLES

CACHE_BYTES = 2 << 20
GRACES = {
    "SHARD_GRACE_MS": 180_000,
    "CONTENT_GRACE_MS": 600_000,
    "ORPHAN_AGE_MS": 600_000,
    "CONTENT_CARRY_AGE_S": 120.0,
    "CONTENT_UPLOAD_AGE_S": 300.0,
    "SHARD_UPLOAD_AGE_S": 150.0,
    "WRITER_FIRST_ACK_S": 45.0,
    "WRITER_IDLE_S": 120.0,
    "WRITER_LIFE_S": 480.0,
    "RETIRE_FLOOR_LAG_MS": 180_000,
    "RETIRE_AGE_MS": 720_000,
    "TOMBSTONE_AGE_MS": 240_000,
}
"""Lives and graces, in the order of length that they have in truth, and each longer than the longest stop."""


def main(words: Sequence[str] | None = None) -> int:
    given = _arguments().parse_args(words)
    scratch = Path(tempfile.mkdtemp(prefix="swampstore-soak-", dir=given.scratch or None))
    if given.store in ("local", "moto", "emulator"):
        os.environ.update(AWS_ENVIRONMENT)
    os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
    load_all()
    small_caches()
    short_graces()
    (scratch / "run").mkdir()
    crew = {name: count for name, (count, _) in ROLES.items() if not given.roles or name in given.roles.split(",")}
    with _store(given.store, scratch) as url:
        setting = Setting(
            url, scratch / "run", given.seed, time.monotonic() + given.minutes * 60, given.rate, given.odds, crew,
            broken=given.broken,
        )  # fmt: skip
        rhythm = Rhythm(given.kill_s, given.stop_s)
        wrong = soak(setting, rhythm, given.store)
    if wrong:
        print(f"kept: {scratch}")
    else:
        shutil.rmtree(scratch)
    return 1 if wrong else 0


def small_caches() -> None:
    """Caches that are full within a minute: they fill up to their bounds for hours otherwise, and would hide a leak."""
    for name in ("SEGMENT_CACHE_BYTES", "INDEX_CACHE_BYTES", "BLOCK_CACHE_BYTES"):
        assert hasattr(place, name)
        setattr(place, name, CACHE_BYTES)


def short_graces() -> None:
    """Give :data:`GRACES` to every module that uses them."""
    ours = [module for name, module in sys.modules.items() if name.startswith("swampstore.")]
    for name, value in GRACES.items():
        users = [module for module in ours if hasattr(module, name)]
        assert len(users) > 1, f"nothing but its own module knows {name}"
        for module in users:
            setattr(module, name, value)


def soak(setting: Setting, rhythm: Rhythm, store: str) -> list[str]:
    """One run, and what is told of it. Returns what does not hold."""
    began = time.monotonic()
    workers = Crew(setting, rhythm, lambda text: print(text, flush=True))
    workers.run()
    wrong = workers.wrong
    worked = time.monotonic() - began
    if not wrong:
        wrong += last_look(setting)
    losses = len(wrong)
    summary = Summary(setting.folder)
    growth, too_much = summary.growth()
    wrong += too_much
    print(f"\n{store}, seed {setting.seed}: {worked / 60:.1f} minutes, {sum(setting.crew.values())} processes at once")
    print(f"operations  {summary.ops.total()}: {_counts(summary.ops)}")
    print(f"faults      {_counts(workers.faults + summary.faults)}")
    print(f"refused     {_counts(summary.errors) or 'none'}")
    print(f"losses      {losses}")
    for title, lines in (
        ("growth of processes that lived through it", growth),
        ("middle time of operations", summary.drift()),
    ):
        print(f"{title}, first quarter -> last quarter")
        for line in lines:
            print(f"  {line}")
    for problem in wrong:
        print("VIOLATION", problem)
    return wrong


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


@contextlib.contextmanager
def _store(name: str, scratch: Path) -> Iterator[str]:
    if name in ("local", "moto", "emulator"):
        with backend(name, scratch) as url:
            yield url
    else:
        yield name


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="local", help="local, moto, emulator, or a store's URL")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=4.0, help="operations a second of each process, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--odds", type=float, default=0.003, help="that a call of the store fails")
    parser.add_argument(
        "--kill-s", type=float, default=12.0, help="mean seconds between two kills; 0: nobody is killed"
    )
    parser.add_argument(
        "--stop-s", type=float, default=12.0, help="mean seconds between two stops; 0: nobody is stopped"
    )
    parser.add_argument("--roles", default="", help=f"only these of {','.join(ROLES)}")
    parser.add_argument("--scratch", default="", help="where the folder of the run is made")
    parser.add_argument("--broken", choices=["", *BROKEN], default="", help="a fault that must be found")
    return parser


if __name__ == "__main__":
    sys.exit(main())
