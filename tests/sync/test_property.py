"""Machines that edit, delete and sync at random converge, and no content is lost that nobody meant to lose."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swampstore.stores.memory import MemoryStore
from tests.sync.machines import OLD, Machine

KEYS = ["a", "b", "d/x", "d/y", "e/f/g"]
MACHINES = 3

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, MACHINES - 1), st.sampled_from(KEYS)),
        st.tuples(st.just("delete"), st.integers(0, MACHINES - 1), st.sampled_from(KEYS)),
        st.tuples(st.sampled_from(["sync", "push", "pull", "meet"]), st.integers(0, MACHINES - 1), st.just("")),
        st.tuples(st.just("compact"), st.just(0), st.just("")),
    ),
    min_size=4,
    max_size=24,
)


class World:
    """Three machines and, for every content, whether somebody who had it before him wrote or deleted over it."""

    def __init__(self, root: Path) -> None:
        store = MemoryStore()
        self.machines = [Machine(store, root / str(number)) for number in range(MACHINES)]
        self.count = 0
        self.written: set[bytes] = set()
        self.given_up: set[bytes] = set()

    def write(self, machine: Machine, key: str) -> None:
        path = machine.tree / key
        if any(parent.is_file() for parent in path.relative_to(machine.tree).parents if str(parent) != "."):
            return
        self.count += 1
        if path.exists():
            self.given_up.add(path.read_bytes())
        data = f"content {self.count}".encode() * (1 + self.count % 3 * 700)
        machine.write(key, data, mtime=OLD + self.count)
        self.written.add(data)

    def delete(self, machine: Machine, key: str) -> None:
        path = machine.tree / key
        if path.exists():
            self.given_up.add(path.read_bytes())
            path.unlink()

    def meet(self, first: Machine, second: Machine) -> None:
        """``second`` syncs in the middle of ``first``'s sync, just before its append."""
        met: list[str] = []

        def before(verb: str, name: str) -> None:
            if verb == "put" and "/log/" in name and not met:
                met.append(name)
                second.sync()

        first.sync(before=before)

    def step(self, action: str, number: int, key: str) -> None:
        machine = self.machines[number]
        match action:
            case "write":
                self.write(machine, key)
            case "delete":
                self.delete(machine, key)
            case "sync":
                machine.sync()
            case "push":
                machine.sync(pull=False)
            case "pull":
                machine.sync(push=False)
            case "meet":
                self.meet(machine, self.machines[(number + 1) % MACHINES])
            case _:
                machine.compact()

    def settle(self) -> None:
        for _ in range(2):
            for machine in self.machines:
                machine.sync()
        self.machines[0].compact()
        for _ in range(2):
            for machine in self.machines:
                machine.sync()


def converge(script: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        world = World(Path(folder))
        for step in script:
            world.step(*step)
        world.settle()
        first, *others = (machine.files() for machine in world.machines)
        assert all(files == first for files in others)
        assert all(machine.sync().idle for machine in world.machines)
        lost = world.written - set(first.values()) - world.given_up
        assert not lost, f"lost: {[data[:12] for data in lost]}"
        stay_deleted(world)


def stay_deleted(world: World) -> None:
    """When all are in sync, a deletion by one machine goes to all, and nothing brings a file back."""
    deleter = world.machines[1]
    for key in deleter.files():
        deleter.remove(key)
    deleter.sync()
    deleter.compact()
    for machine in world.machines:
        machine.sync()
    world.machines[2].compact()
    for machine in (*world.machines, *world.machines):
        machine.sync()
        assert machine.files() == {}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_trees_converge_and_nothing_is_lost(script: list[tuple[str, int, str]]) -> None:
    converge(script)


@pytest.mark.prove
@pytest.mark.timeout(1800)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_trees_converge_and_nothing_is_lost_for_long(script: list[tuple[str, int, str]]) -> None:
    converge(script)
