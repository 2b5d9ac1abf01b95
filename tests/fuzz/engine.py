"""Runs targets over seeded inputs and says what came out: errors that are not typed, much memory, much time.

``python -m tests.fuzz.engine SECONDS [TARGET ...]`` prints a table; the exit code is 1 when anything was found.
``--inputs N`` ends after that many (in any case after ``SECONDS``), ``--first N`` begins with another seed.
Allocations are held under 64 MB by the system itself: the address space of the process may grow by no more.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

from swampstore.errors import SwampError
from tests.fuzz.targets import Target, targets

MEMORY_BYTES = 64 << 20
SLOW_S = 1.0
_BATCH = 200


@dataclass
class Result:
    """What one target did."""

    inputs: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def feed(target: Target, seed: int, result: Result) -> None:
    """Run one input; what should not have happened is noted with its seed."""
    data = target.input(seed)
    began = time.thread_time()  # of the processor: a busy machine makes no input slow
    try:
        target.run(data)
    except SwampError:
        result.refused += 1
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever came out is the finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/swampstore" in frame.filename]
        place = ours[-1] if ours else where
        what = f"{type(error).__name__} in {place.filename.rpartition('/')[2]}:{place.lineno} ({place.name}): {error}"
        result.faults.setdefault(what[:200], seed)
        result.counts[what[:200]] += 1
    took = time.thread_time() - began
    result.inputs += 1
    result.slowest_s = max(result.slowest_s, took)
    if took > SLOW_S:
        result.faults.setdefault(f"{took:.1f} s", seed)


def limit_memory(more: int = MEMORY_BYTES) -> None:
    """From now on this process may take ``more`` bytes than it has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    size = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def fuzz(seconds: float, names: list[str], *, first_seed: int = 0, most: float = float("inf")) -> dict[str, Result]:
    """Every target in turn, a batch at a time, until the time is over or ``most`` inputs were run."""
    chosen = {name: target for name, target in targets().items() if not names or name in names}
    results = {name: Result() for name in chosen}
    for target in chosen.values():  # what is imported or cached on first use is not counted
        feed(target, first_seed, Result())
    limit_memory()
    end = time.monotonic() + seconds
    seed = first_seed
    while time.monotonic() < end and sum(result.inputs for result in results.values()) < most:
        for name, target in chosen.items():
            for number in range(seed, seed + _BATCH):
                feed(target, number, results[name])
            if time.monotonic() > end:
                break
        seed += _BATCH
    return results


def show(results: dict[str, Result]) -> bool:
    """Print the table; whether nothing was found."""
    for name, result in results.items():
        print(
            f"{name:16} {result.inputs:>9,} inputs {result.refused:>9,} refused  slowest {result.slowest_s * 1e3:7.1f} ms"
        )
        for what, seed in result.faults.items():
            print(f"    {result.counts[what]:>6} x {what}  (seed {seed})")
    print(f"{'all':16} {sum(result.inputs for result in results.values()):>9,} inputs")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"largest resident size {peak} MB; no input may take more than {MEMORY_BYTES >> 20} MB")
    return not any(result.faults for result in results.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--inputs", type=float, default=float("inf"))
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    return 0 if show(fuzz(given.seconds, given.targets, first_seed=given.first, most=given.inputs)) else 1


if __name__ == "__main__":
    sys.exit(main())
