"""Trees that hold a part: of data without its contents, and through random histories of partial syncs."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swampstore.client.blocking import Namespace
from swampstore.stores.memory import MemoryStore
from swampstore.workers.sync import notes, session
from swampstore.workers.sync.options import STATE_FOLDER
from swampstore.workers.sync.plan import Planner
from swampstore.workers.sync.state import State
from swampstore.workers.sync.tree import Tree
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]
ITEM = "data/t/m/n"
META = """name: n
id: 7c1e4f0a-0000-0000-0000-000000000000
version: {0}
contentType: text/plain
lifetime: infinite
garbageCollection: 10
streaming: false
tags:
  type: resource
  mark: {1}
createdAt: 2026-01-01T00:00:00Z
"""


def version(machine: Machine, number: int, mark: str = "one", *, mtime: int = OLD) -> None:
    machine.write(f"{ITEM}/{number}/metadata.yaml", META.format(number, mark), mtime=mtime)
    machine.write(f"{ITEM}/{number}/raw", f"{mark} {number}" * 2_000, mtime=mtime)


@pytest.fixture
def pair(machine: Make) -> tuple[Machine, Machine]:
    """One machine with three versions, and one with their metadata."""
    a, b = machine("a"), machine("b")
    for number in (1, 2, 3):
        version(a, number)
    a.sync()
    assert b.sync(metadata_only=True).not_here == 3
    return a, b


def test_latest_follows_the_metadata_also_in_a_pull_that_does_not_walk(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    assert b.files()[f"{ITEM}/latest"] == b"3"
    version(a, 4)
    a.sync()
    assert b.sync(push=False, metadata_only=True).skipped == []
    assert b.files()[f"{ITEM}/latest"] == b"4"


def test_metadata_edited_without_its_contents_keeps_them(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    b.write(f"{ITEM}/2/metadata.yaml", META.format(2, "two"), mtime=OLD + 9)
    b.sync(metadata_only=True)
    found = {one.ordinal: one for one in Namespace(b.namespace()).data("t:m", "n").versions()}
    assert found[2].tags["mark"] == "two"
    a.sync()
    assert a.files()[f"{ITEM}/2/raw"] == b"one 2" * 2_000


def test_a_version_of_the_same_number_is_made_apart(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    version(a, 4, "theirs")
    a.sync()
    version(b, 4, "mine")
    for one in (b, b, a, b, a):
        one.sync(metadata_only=one is b)
    b.sync()
    assert a.files() == b.files()
    assert {a.files()[f"{ITEM}/{number}/raw"][:4] for number in (4, 5)} == {b"thei", b"mine"}


def histories(folder: Path, seed: int) -> None:
    """One machine writes and deletes; another, which never deletes, syncs parts. Nothing else may go."""
    rng = random.Random(seed)
    store = MemoryStore()
    a, b = Machine(store, folder / "a"), Machine(store, folder / "b")
    model: dict[str, bytes] = {}
    parts: tuple[dict[str, Any], ...] = (
        {"metadata_only": True},
        {"metadata_only": True, "push": False},
        {"push": False},
        {"pull": False},
        {"prefix": "x/"},
        {"prefix": "x/1", "metadata_only": True},
        {"folders": ("x/2", "y")},
        {"directories": ("y",)},
        {"exclude": ("raw",)},
        {},
    )
    for step in range(25):
        key = rng.choice(("x/1/a", "x/1/metadata.yaml", "x/1/raw", "x/2/b", "x/2/c/d", "y/e", "z"))
        if rng.random() < 0.6:
            a.write(key, model.setdefault(key, b"") + bytes([65 + step]) * rng.choice((5, 70_000)), mtime=OLD + step)
            model[key] = (a.tree / key).read_bytes()
        elif model.pop(key, None) is not None:
            a.remove(key)
        if rng.random() < 0.7:
            a.sync()
        if rng.random() < 0.15:
            a.compact(full=rng.random() < 0.5)
        for _ in range(rng.randrange(3)):
            b.sync(**rng.choice(parts))
    a.sync()
    b.sync()
    a.sync()
    assert a.files() == model, f"seed {seed}"
    assert b.files() == model, f"seed {seed}"


@pytest.mark.parametrize("seed", range(12))
def test_a_partial_tree_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    histories(tmp_path, seed)


@pytest.mark.prove
def test_partial_trees_delete_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed in range(1_000, 1_400):
        (tmp_path / str(seed)).mkdir()
        histories(tmp_path / str(seed), seed)


def test_without_the_bounds_of_a_scope_a_part_would_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is that rows are compared under the scope's prefixes only, as the walk is; a second look is another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Planner, "_sure", lambda self, items: items)
    real = State.rows
    monkeypatch.setattr(State, "rows", lambda self, prefix, *, unsynced: real(self, "", unsynced=unsynced))
    assert session.State is State

    def several() -> None:
        for seed in range(12):
            (tmp_path / str(seed)).mkdir()
            histories(tmp_path / str(seed), seed)

    with pytest.raises((AssertionError, FileNotFoundError)):
        several()


# --- what these histories brought to light -----------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [True, False])
def test_a_file_made_where_one_was_deleted_follows_the_deletion(
    machine: Make, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """Without its base it meets the deleted contents in the merge, where the deletion is gone, as if it had not known."""
    if not guarded:
        real = session.steps_of
        unknown = SimpleNamespace(known=lambda _: {})
        monkeypatch.setattr(session, "steps_of", lambda items, _: real(items, unknown))  # type: ignore[arg-type]
    a, b = machine("a"), machine("b")
    a.write("x", "first")
    a.sync()
    a.compact()
    a.remove("x")
    a.sync()
    a.write("x", "second", mtime=OLD + 9)
    a.sync()
    a.compact()
    assert bool(b.sync().conflicts) is not guarded
    assert b.files()["x"] == b"second"


def test_files_that_are_only_hashed_again_are_noted_as_they_come(
    machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = machine("a")
    monkeypatch.setattr(notes, "_AT_ONCE", 7)
    for number in range(50):
        a.write(f"d/{number:02}", "x", mtime=None)  # just now: within the grain of the note's own time
    a.sync()
    assert a.sync(dry_run=True).unchanged == 50
    shown: list[int] = []
    arrange = session.DataModel.arrange

    def watched(self: session.DataModel, items: Any) -> Any:
        shown.append(len(items))
        return arrange(self, items)

    monkeypatch.setattr(session.DataModel, "arrange", watched)
    assert (a.sync().unchanged, shown) == (50, [0])
    for path in (a.tree / "d").iterdir():
        os.utime(path, (OLD, OLD))
    assert (a.sync().unchanged, a.sync().idle) == (50, True)
    monkeypatch.setattr(Tree, "sha256", None)
    assert a.sync().unchanged == 50


def test_a_lost_state_is_noted_as_it_comes_and_versions_are_decided_as_one(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    b.sync()
    for number in range(30):
        a.write(f"plain/{number:02}", "x")
    a.sync()
    b.sync()
    shown: list[list[str]] = []
    arrange = session.DataModel.arrange

    def watched(self: session.DataModel, items: Any) -> Any:
        shown.append([item.key for item in items])
        return arrange(self, items)

    monkeypatch.setattr(session.DataModel, "arrange", watched)
    shutil.rmtree(b.tree / STATE_FOLDER)
    monkeypatch.setattr(notes, "_AT_ONCE", 4)
    assert (b.sync().idle, shown) == (True, [[]])
    assert b.sync().unchanged == 36
    shutil.rmtree(b.tree / STATE_FOLDER)
    b.write(f"{ITEM}/2/raw", "edited", mtime=OLD + 9)
    shown.clear()
    b.sync()
    assert shown == [[f"{ITEM}/2/metadata.yaml", f"{ITEM}/2/raw"]]
