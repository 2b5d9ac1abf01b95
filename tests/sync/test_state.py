"""Runtime state is no part of a tree: it is not pulled, its absence deletes nothing, its end deletes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.protocols.settings import change_settings
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.classes import NO_RULES, SETTING
from swampstore.values.deltas import Delete, Put
from swampstore.workers.sync import mirror, pull
from tests.sync.machines import Machine

Make = Callable[..., Machine]
DAY_S = 86_400.0


def two(tmp_path: Path, env: FakeEnv) -> tuple[Machine, Machine]:
    """Two machines whose clocks, and the store's, are the test's."""
    store = MemoryStore(env)
    return Machine(store, tmp_path / "a", env=env), Machine(store, tmp_path / "b", env=env)


def put(machine: Machine, key: str, data: bytes, record_class: str = "ephemeral", ttl: float = 600) -> None:
    delta = Put(key=key, data=data, record_class=record_class, ttl=ttl if record_class == "ephemeral" else 0)
    run(machine.namespace().append([delta]))


@pytest.mark.parametrize("compacted", [False, True])
def test_state_is_not_pulled(machine: Make, compacted: bool) -> None:
    a, b = machine("a"), machine("b")
    a.write("d/1.txt", b"one")
    a.sync()
    put(a, "d/state", b"s")
    if compacted:
        a.compact()
    report = b.sync()
    assert (report.pulled, b.files().keys()) == (1, {"d/1.txt"})
    a.compact()
    report = b.sync()
    assert (report.pulled, report.pushed) == (0, 0)


def test_state_over_a_file_leaves_the_file_alone(tmp_path: Path) -> None:
    env = FakeEnv()
    a, b = two(tmp_path, env)
    a.write("d/1.txt", b"one")
    a.sync()
    b.sync()
    put(a, "d/1.txt", b"state")
    for _ in range(2):
        report = b.sync()
        assert b.files() == {"d/1.txt": b"one"}
        assert (report.pushed, report.pulled) == (0, 0)
        a.compact()


def test_a_rule_keeps_files_out_of_the_namespace_and_never_deletes_them(tmp_path: Path) -> None:
    env = FakeEnv()
    a, b = two(tmp_path, env)
    core = a.namespace()
    run(change_settings(core.place, core.register, lambda old: {**old, SETTING: {"run": "ephemeral"}}))
    a.write("run/pid", b"1")
    a.write("d/1.txt", b"one")
    assert a.sync().pushed == 1
    put(a, "run/other", b"x", "indexed")
    assert b.sync().pulled == 1
    for _ in range(8):
        env.advance(0.9 * DAY_S)
        run(a.namespace().append([Delete(key="nothing")]))
        a.compact()
        a.sync()
        b.sync()
    assert a.files() == {"run/pid": b"1", "d/1.txt": b"one"}
    assert b.files() == {"d/1.txt": b"one"}


def test_without_the_guards_state_would_reach_the_trees(
    machine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (mirror, pull):
        monkeypatch.setattr(module, "EPHEMERAL", 0)
    with pytest.raises(AssertionError):
        test_state_is_not_pulled(machine, False)
    monkeypatch.undo()
    monkeypatch.setattr(mirror, "rules_of", lambda settings: NO_RULES)
    with pytest.raises(AssertionError):
        test_a_rule_keeps_files_out_of_the_namespace_and_never_deletes_them(tmp_path)
