"""Following changes both ways, on a clock of its own: how soon, at what price, and through trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from swampstore.env.blocking import run
from swampstore.errors import StoreUnavailable, SwampError
from swampstore.workers.sync import SyncOptions, SyncReport
from swampstore.workers.sync.notify import Told, changes_of
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.tree import Found
from swampstore.workers.sync.watch import WHOLE_S, Pair, Watch
from tests.sync.machines import OLD, Machine
from tests.sync.virtual import VirtualEnv

Make = Callable[..., Machine]
Step = Callable[[], set[str] | None]


class Script:
    """Changes by script: at each wait the next step is taken, and its answer told; at the end the watch is stopped."""

    def __init__(self, env: VirtualEnv, steps: list[Step]) -> None:
        self.env = env
        self.steps = steps
        self.stopped = False

    def start(self) -> None:
        """There is nothing to begin."""

    async def wait(self, seconds: float) -> set[str] | None:
        await self.env.sleep(seconds)
        if not self.steps:
            self.stopped = True
            return set()
        return self.steps.pop(0)()


class Stopped:
    """The stop request of a script: waiting for it takes time and no step."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def is_set(self) -> bool:
        return self._script.stopped

    async def wait(self, seconds: float | None = None) -> bool:
        await self._script.env.sleep(seconds or 0.0)
        return self.is_set()


class Bench:
    """A watched machine and what its watch told."""

    def __init__(self, machine: Machine, **options: bool) -> None:
        self.machine = machine
        self.env = machine.env = VirtualEnv()
        self.options = SyncOptions(**options)  # type: ignore[arg-type]
        self.reports: list[SyncReport] = []
        self.errors: list[SwampError] = []

    def watch(self, *steps: Step, before: Callable[[str, str], None] | None = None) -> None:
        script = Script(self.env, list(steps))
        pair = Pair(self.machine.namespace(before), self.machine.tree)
        watch = Watch(
            [pair],
            self.options,
            script,
            self.env,
            Stopped(script),
            on_pass=lambda _, report: self.reports.append(report),
            on_error=lambda _, error: self.errors.append(error),
        )
        run(watch.run())


def nothing() -> set[str]:
    return set()


@pytest.fixture
def pair(machine: Make) -> tuple[Machine, Machine]:
    a, b = machine("a"), machine("b")
    for number in range(200):
        a.write(f"d/{number:03}", "x")
    a.sync()
    b.sync()
    return a, b


def test_changes_of_both_sides_are_carried_within_two_seconds(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    bench = Bench(b)
    times: list[float] = []

    def remote() -> set[str]:
        a.write("theirs", "1")
        a.sync()
        times.append(bench.env.slept)
        return set()

    def carried() -> set[str]:
        times.append(bench.env.slept)
        assert b.files()["theirs"] == b"1"
        b.write("mine", "2")
        b.remove("d/007")
        return {"mine", "d/007"}

    def pushed() -> set[str]:
        a.sync()
        assert a.files() == b.files()
        return set()

    bench.watch(nothing, remote, nothing, carried, nothing, pushed)
    assert times[1] - times[0] <= 2
    assert sum(report.pulled for report in bench.reports) == 1


def test_a_quiet_watch_costs_two_requests_a_turn_and_walks_only_now_and_then(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b = pair
    bench = Bench(b)
    walks: list[float] = []
    files = Scan.files

    def walked(self: Scan, prefix: str) -> Iterator[tuple[str, Found]]:
        walks.append(bench.env.slept)
        return files(self, prefix)

    monkeypatch.setattr(Scan, "files", walked)
    turns = 100
    bench.watch(*[nothing] * turns)
    assert b.requests <= 2 * (turns + 2)
    assert len(walks) == 1
    assert max(bench.env.pauses) <= 2
    walks.clear()
    bench.watch(*[nothing] * 400)
    assert [int(at) for at in walks] == [int(walks[0]), pytest.approx(int(walks[0] + WHOLE_S), abs=3)]


def test_a_push_only_watch_asks_nothing_while_nothing_changes(pair: tuple[Machine, Machine]) -> None:
    _, b = pair
    bench = Bench(b, pull=False)

    def write() -> set[str]:
        nonlocal before
        before = b.requests
        b.write("new", "x")
        return {"new"}

    before = 0
    bench.watch(*[nothing] * 50, write, nothing)
    assert before <= 6
    assert sum(report.pushed for report in bench.reports) == 1


def test_trouble_with_the_store_loses_no_change(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    bench = Bench(b)
    down = False

    def before(verb: str, name: str) -> None:
        if down:
            raise StoreUnavailable("down", hint="wait")

    def breaks() -> set[str]:
        nonlocal down
        down = True
        b.write("mine", "x")
        b.write("d/001", "edited", mtime=OLD + 9)
        return {"mine", "d/001"}

    def mends() -> set[str]:
        nonlocal down
        down = False
        return set()

    bench.watch(breaks, nothing, nothing, nothing, mends, nothing, before=before)
    assert len(bench.errors) >= 3
    assert sum(report.pushed for report in bench.reports) == 2
    a.sync()
    assert a.files() == b.files()


def test_without_news_of_the_system_everything_is_looked_at(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    bench = Bench(b)

    def silent() -> None:
        return None

    def write() -> None:
        b.write("mine", "x")
        b.write("d/002", "edited", mtime=OLD + 9)

    bench.watch(silent, write, silent, silent, silent)
    a.sync()
    assert a.files() == b.files()
    assert sum(report.pushed for report in bench.reports) == 2


def test_a_namespace_that_was_replaced_is_compared_anew(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    bench = Bench(b)

    def replaced() -> set[str]:
        run(a.namespace().remove(dry_run=False))
        other = Machine(a.store, a.tree.parent / "other")
        other.write("only", "x")
        other.sync()
        return set()

    before = set(b.files())
    bench.watch(nothing, replaced, nothing, nothing, nothing)
    assert any(report.reset for report in bench.reports)
    assert set(b.files()) == before | {"only"}


def test_trees_below_are_told_apart(machine: Make) -> None:
    a = machine("a")
    main, inner = Pair(a.namespace(), a.tree, paths=set()), Pair(a.namespace(), a.tree / "b", "b", paths=set())
    env = VirtualEnv()
    script = Script(env, [])
    watch = Watch(
        [main, inner], SyncOptions(), script, env, Stopped(script), on_pass=lambda *_: None, on_error=lambda *_: None
    )
    watch._tell({"x", "b/x", "b/b/y", "bb/z"})
    assert (main.paths, inner.paths) == ({"x", "bb/z"}, {"x", "b/y"})
    watch._tell(None)
    assert main.paths is None


def test_the_system_tells_of_files_and_folders_but_not_of_syncs_own(machine: Make) -> None:
    a = machine("a")

    class Never:
        def is_set(self) -> bool:
            return False

        async def wait(self, seconds: float | None = None) -> bool:
            return False

    a.write("there/x", "x")
    changes = changes_of(a.tree, a.env, Never())
    assert isinstance(changes, Told)
    a.sync()
    a.write("there/x", "y")
    a.write("new/deep/y", "y")
    found: set[str] = set()
    for _ in range(20):
        if {"there/x", "new"} <= found:
            break
        found |= run(changes.wait(0.5)) or set()
    assert {"there/x", "new"} <= found
    assert not any(".swampstore" in path for path in found)
