"""Play many seeds on all cores, and go on where it stopped: ``python -m tests.sim.many --seeds 100000``.

What is done stands in a book, a line per block of seeds, under a fingerprint of the code: seeds that other code played do
not count. A seed that fails is told at once, with its plan; play it again with ``python -m tests.sim SEED``.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.sim.mix import Plan, failure, plan_of

ROOT = Path(__file__).resolve().parents[2]
FIRST = 1_000_000
"""Seeds that the everyday tests do not play."""
BLOCK = 100
CODE = ("swampstore", "tests/sim")

Block = tuple[int, int]


def fingerprint(root: Path = ROOT) -> str:
    """A hash of the code that a seed plays."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def play_block(block: Block) -> tuple[Block, list[tuple[int, str]]]:
    """The seeds of one block, and how those that fail do."""
    logging.getLogger("swampstore").setLevel(logging.CRITICAL)  # what the processes complain of is what they are given
    found = [(seed, failure(plan_of(seed))) for seed in range(*block)]
    return block, [(seed, problem) for seed, problem in found if problem is not None]


def blocks_left(first: int, count: int, done: Iterable[int]) -> list[Block]:
    """Blocks from ``first`` on that are not done."""
    played = set(done)
    return [(at, min(at + BLOCK, first + count)) for at in range(first, first + count, BLOCK) if at not in played]


class Book:
    """Lines ``[first, last, failures]`` in a file; no file, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.done: dict[int, tuple[int, list[tuple[int, str]]]] = {}
        for line in path.read_text().splitlines() if path and path.exists() else []:
            begin, end, failed = json.loads(line)
            self.done[begin] = (end, [(seed, problem) for seed, problem in failed])

    def note(self, block: Block, failed: list[tuple[int, str]]) -> None:
        self.done[block[0]] = (block[1], failed)
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps([*block, failed]) + "\n")

    def within(self, first: int, count: int) -> list[tuple[int, list[tuple[int, str]]]]:
        """How many seeds each block of a range has, and what failed in it."""
        ends = first + count
        return [(end - at, failed) for at, (end, failed) in self.done.items() if first <= at and end <= ends]


def play_many(
    first: int, count: int, *, jobs: int, seconds: float, book: Book, tell: Callable[[str], None]
) -> tuple[int, list[tuple[int, str]]]:
    """Play what is left of a range until ``seconds`` are over; how many are done now, and all failures among them."""
    left = blocks_left(first, count, book.done)
    before = sum(size for size, _ in book.within(first, count))
    began = told = time.monotonic()
    now = 0
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for block, failed in pool.imap_unordered(play_block, left):
            book.note(block, failed)
            now += block[1] - block[0]
            for seed, problem in failed:
                plan: Plan = plan_of(seed)
                tell(f"{plan}\n  => {problem}")
            spent = time.monotonic() - began
            if time.monotonic() - told > 60:
                told = time.monotonic()
                tell(f"{before + now} of {count} seeds, {now / spent:.1f} seeds/s")
            if spent > seconds:
                break
        pool.terminate()
    spent = time.monotonic() - began
    total, problems = 0, []
    for size, failed in book.within(first, count):
        total += size
        problems += failed
    tell(f"{total} of {count} seeds, {len(problems)} failed; {now} just now on {jobs} cores, {now / spent:.1f} seeds/s")
    return total, problems


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop then; the next call goes on")
    parser.add_argument("--book", type=Path, default=ROOT / ".prove", help="folder in which is kept what was played")
    given = parser.parse_args(words)
    book = Book(given.book / f"seeds-{fingerprint()}.jsonl")
    gc.collect()
    gc.freeze()  # what was imported need not be walked again and again; as in the tests
    gc.set_threshold(10_000, 20, 20)
    _, failed = play_many(
        given.first, given.seeds, jobs=given.jobs, seconds=given.seconds, book=book, tell=lambda text: print(text, flush=True)
    )  # fmt: skip
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
