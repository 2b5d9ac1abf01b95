"""Many processes, one misbehaving store, virtual time: what was acknowledged is there, in order, once.

A failing seed is printed by the test's name; run it alone with ``pytest tests/sim -k "seed-<n>"``.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from unittest import mock

import pytest

from swampstore.workers import fold, numbering
from tests.sim.actors import KEYS, MILD, World

EVERYDAY = range(40)
PROVE_SECONDS = float(os.environ.get("SWAMPSTORE_PROVE_SECONDS", "600"))


def blind(seed: int) -> None:
    """Blind writers, readers and two compactors."""
    world = World(seed)
    for number in range(4):
        world.writer(f"writer-{number}", 8)
    for number in range(2):
        world.reader(f"reader-{number}", 12)
        world.compactor(f"compactor-{number}")
    world.run(240)
    found = world.settle()
    assert world.books.faults == []
    for key in KEYS:
        acked = world.books.acked.get(key, [])
        if acked and found[key] != max(acked)[1]:
            # Something else won: only a write that was left undecided may have done that.
            assert found[key] in world.books.unsure.get(key, [])


def counting(seed: int) -> None:
    """Updates of one key by many processes: none lost, none doubled."""
    world = World(seed)
    for number in range(5):
        world.counter(f"counter-{number}", 3)
    world.compactor("compactor")
    world.run(900)
    total = int(world.settle()["n"] or b"0")
    assert world.books.faults == []
    assert world.books.increments <= total <= world.books.increments + world.books.maybe_increments


def signalling(seed: int) -> None:
    """Fenced and unfenced appends to one stream: each acknowledged once and in order, one winner a tail."""
    world = World(seed)
    for number in range(3):
        world.signaller(f"fenced-{number}", 5, fenced=True)
        world.signaller(f"free-{number}", 4, fenced=False)
    world.compactor("compactor")
    world.run(600)
    records = (world.settle()["run"] or b"").split(b"\n")
    books = world.books
    assert books.faults == []
    assert len(set(records)) == len(records)
    assert set(books.stream) <= set(records)
    assert set(records) - {b""} <= set(books.stream) | set(books.maybe_stream)
    tails = [tail for tail, _ in books.fenced]
    assert len(set(tails)) == len(tails), "two appends were fenced on one tail"
    for name in {data.rpartition(b"-")[0] for data in books.stream}:
        mine = [record for record in records if record.rpartition(b"-")[0] == name and record in books.stream]
        assert mine == sorted(mine, key=lambda record: int(record.rpartition(b"-")[2]))


def collecting(seed: int) -> None:
    """Versions of one datum by many processes, retried as the same version: numbered 1 .. n, each once, for ever."""
    world = World(seed)
    for number in range(3):
        world.collector(f"collector-{number}", 5)
    world.historian("historian", 10)
    for number in range(2):
        world.compactor(f"compactor-{number}")
    with mock.patch.object(fold, "INLINE_LEVEL0_BYTES", 1000):  # so that numbers have to be looked up in runs
        world.run(600)
        found = world.settled_versions()
    books = world.books
    assert books.faults == []
    assert [ordinal for ordinal, _ in found] == list(range(len(found), 0, -1))
    assert books.versions <= {id_ for _, id_ in found}


SCENARIOS = {"blind": blind, "counting": counting, "signalling": signalling, "collecting": collecting}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("block", range(4), ids=lambda block: f"block-{block}")
def test_everyday_seeds(scenario: str, block: int) -> None:
    for seed in EVERYDAY[block::4]:
        run(scenario, seed)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_many_seeds(scenario: str, record_property: Callable[[str, object], None]) -> None:
    """As many fresh seeds as fit into the time for long proofs, at least 200."""
    ends = time.monotonic() + PROVE_SECONDS / len(SCENARIOS)
    for seed in itertools.count(1000):
        if seed >= 1200 and time.monotonic() > ends:
            break
        run(scenario, seed)
    record_property("seeds", seed - 1000)


def run(scenario: str, seed: int) -> None:
    try:
        SCENARIOS[scenario](seed)
    except BaseException as error:
        error.add_note(f"scenario {scenario}, seed {seed}: repeat with tests.sim.test_sim.run({scenario!r}, {seed})")
        raise


def test_without_looking_up_numbers_the_seeds_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_place: object, _refs: object, keys: list[str]) -> dict[str, list[object]]:
        return {key: [] for key in keys}

    monkeypatch.setattr(numbering, "find_in_runs", nothing)
    failed = 0
    for seed in range(10):
        try:
            collecting(seed)
        except AssertionError:
            failed += 1
    assert failed > 5


def test_equal_seeds_run_equally() -> None:
    traces = []
    for _ in range(2):
        world = World(7)
        world.sim.tracing = True
        world.writer("writer", 5)
        world.counter("counter", 2)
        world.compactor("compactor")
        world.run(120)
        world.sim.close()
        traces.append(world.sim.trace)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100


def test_a_calm_world_decides_everything() -> None:
    """Without faults no outcome may be left open: otherwise the checks above would prove little."""
    world = World(1, MILD)
    world.writer("writer", 10)
    world.counter("one", 5)
    world.counter("two", 5)
    world.signaller("free", 5, fenced=False)
    world.compactor("compactor")
    world.run(300)
    assert world.settle()["n"] == b"10"
    assert (world.books.increments, world.books.maybe_increments) == (10, 0)
    assert len(world.books.stream) == 5
    assert world.books.unsure == {}
