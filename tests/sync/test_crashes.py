"""Killed at every store call, every state commit and every placed file, the next sync converges without copies."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.stores.memory import MemoryStore
from swampstore.workers.sync import state as state_module
from swampstore.workers.sync.hydrate import hydrate, open_file
from swampstore.workers.sync.options import TEMP_PREFIX
from swampstore.workers.sync.temporary import Temporary
from swampstore.workers.sync.tree import Tree
from tests.sync.machines import OLD, Machine


class Killed(BaseException):
    """What ends a process: nothing may catch it."""


class Fuse:
    """Raises at the n-th point it passes."""

    def __init__(self, at: int) -> None:
        self.left = at

    def burn(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    @property
    def blown(self) -> bool:
        return self.left <= 0


def prepare(root: Path) -> tuple[Machine, Machine]:
    """Two machines that have work for each other in every direction; ``b`` is the one that will be killed."""
    root.mkdir()
    store = MemoryStore()
    a, b = Machine(store, root / "a"), Machine(store, root / "b")
    for key in ("edited-a", "edited-b", "deleted-a", "deleted-b", "kept"):
        a.write(key, key)
    a.sync()
    b.sync()
    a.write("edited-a", "edited on a", mtime=OLD + 5)
    a.write("new/a", "n" * 9_000)
    a.remove("deleted-a")
    a.sync()
    b.write("edited-b", "edited on b", mtime=OLD + 5)
    b.write("new/b1", "m" * 9_000)
    b.write("new/b2", "m" * 300_000)
    b.remove("deleted-b")
    return a, b


EXPECTED = {
    "edited-a": b"edited on a",
    "edited-b": b"edited on b",
    "kept": b"kept",
    "new/a": b"n" * 9_000,
    "new/b1": b"m" * 9_000,
    "new/b2": b"m" * 300_000,
}


def check_converged(a: Machine, b: Machine) -> None:
    reports = [b.sync(), a.sync(), b.sync()]
    assert [report.conflicts for report in reports] == [[], [], []]
    assert a.files() == b.files() == EXPECTED
    assert a.sync().idle
    assert not list(b.tree.rglob(TEMP_PREFIX + "*"))


def run_until_it_survives(tmp_path: Path, attempt: Callable[[Machine, Fuse], None], least: int) -> None:
    for at in itertools.count(1):
        a, b = prepare(tmp_path / str(at))
        fuse = Fuse(at)
        try:
            attempt(b, fuse)
        except Killed:
            check_converged(a, b)
            continue
        assert not fuse.blown
        check_converged(a, b)
        assert at > least, "the fuse met too few points to prove anything"
        return


def test_killed_before_every_store_call(tmp_path: Path) -> None:
    run_until_it_survives(tmp_path, lambda b, fuse: b.sync(before=fuse.burn), 4)


@pytest.mark.parametrize("after", [False, True])
def test_killed_around_every_state_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    real = state_module.State.transaction

    def attempt(b: Machine, fuse: Fuse) -> None:
        @contextmanager
        def fused(self: state_module.State):  # type: ignore[no-untyped-def]
            with real(self):
                yield
                if not after:
                    fuse.burn()
            if after:
                fuse.burn()

        with monkeypatch.context() as patch:
            patch.setattr(state_module.State, "transaction", fused)
            b.sync()

    run_until_it_survives(tmp_path, attempt, 5)


@pytest.mark.parametrize(
    ("owner", "name"), [(Temporary, "place"), (Temporary, "write"), (Tree, "remove"), (Tree, "read")]
)
def test_killed_around_every_change_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    real = getattr(owner, name)

    def attempt(b: Machine, fuse: Fuse) -> None:
        def fused(*args: object) -> object:
            fuse.burn()
            found = real(*args)
            fuse.burn()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fused)
            b.sync()

    run_until_it_survives(tmp_path, attempt, 2)


@pytest.mark.parametrize("newer", ["a", "b"])
def test_killed_while_a_conflict_is_settled(tmp_path: Path, newer: str) -> None:
    """However often it is killed, there is one copy of the loser."""
    for at in itertools.count(1):
        store = MemoryStore()
        root = tmp_path / str(at)
        root.mkdir()
        a, b = Machine(store, root / "a"), Machine(store, root / "b")
        a.write("p", "base")
        a.sync()
        b.sync()
        a.write("p", "from a" * 900, mtime=OLD + (9 if newer == "a" else 5))
        b.write("p", "from b" * 900, mtime=OLD + (9 if newer == "b" else 5))
        a.sync()
        fuse = Fuse(at)
        survived = False
        try:
            b.sync(before=fuse.burn)
            survived = True
        except Killed:
            pass
        for one in (b, a, b, a):
            one.sync()
        assert a.files() == b.files()
        assert sorted(a.files().values()) == [b"from a" * 900, b"from b" * 900]
        assert a.files()["p"] == f"from {newer}".encode() * 900
        if survived:
            assert at > 3
            return


@pytest.mark.parametrize("opened", [False, True])
def test_contents_on_demand_killed_before_every_store_call(tmp_path: Path, opened: bool) -> None:
    """A file that is brought here is there whole or not at all; asked for again it comes."""
    key, body = "data/t/m/n/1/raw", b"n" * 300_000
    for at in itertools.count(1):
        root = tmp_path / str(at)
        root.mkdir()
        store = MemoryStore()
        a, b = Machine(store, root / "a"), Machine(store, root / "b")
        a.write("data/t/m/n/1/metadata.yaml", "version: 1\n")
        a.write(key, body.decode())
        a.sync()
        b.sync(metadata_only=True)
        fuse = Fuse(at)
        try:
            _bring(b, key, opened, fuse.burn)
        except Killed:
            assert b.files().get(key) in (None, body)
            assert _bring(b, key, opened) == body
        assert b.files()[key] == body
        assert not list(b.tree.rglob(TEMP_PREFIX + "*"))
        assert b.sync(metadata_only=True).idle
        if not fuse.blown:
            assert at > 2
            return


def _bring(machine: Machine, key: str, opened: bool, before: Callable[..., None] = lambda *_: None) -> bytes:
    """Bring the contents at ``key`` here, or open the file, which brings them."""
    if opened:
        with run(open_file(machine.namespace(before), machine.tree, key)) as file:
            return file.read()
    run(hydrate(machine.namespace(before), machine.tree, [key]))
    return machine.files()[key]
