"""Contents on demand: bringing them here, opening files, and local files that stand for entries."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.errors import BadKey, NotFound
from swampstore.values.deltas import Put
from swampstore.workers.sync.hydrate import hydrate, local_copy, open_file
from swampstore.workers.sync.tree import Left
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]


@pytest.fixture
def lazy(machine: Make) -> tuple[Machine, Machine]:
    a, b = machine("a"), machine("b")
    for number in (1, 2, 3):
        a.write(f"data/t/m/n/{number}/metadata.yaml", f"version: {number}\n")
        a.write(f"data/t/m/n/{number}/raw", f"{number}" * 5_000)
    a.sync()
    b.sync(metadata_only=True)
    return a, b


def raws(machine: Machine) -> set[int]:
    return {int(key.split("/")[-2]) for key in machine.files() if key.endswith("/raw")}


def bring(machine: Machine, *paths: str) -> int:
    return run(hydrate(machine.namespace(), machine.tree, paths)).pulled


def test_a_file_a_folder_and_again(lazy: tuple[Machine, Machine]) -> None:
    _, b = lazy
    assert raws(b) == set()
    assert (bring(b, "data/t/m/n/2/raw"), raws(b)) == (1, {2})
    assert bring(b, "data/t/m/n/2/raw") == 0
    assert (bring(b, "data/t/m/n/1/", "data/t/m/n/2"), raws(b)) == (1, {1, 2})
    assert (bring(b, "data"), raws(b)) == (1, {1, 2, 3})
    assert b.sync(metadata_only=True).idle


@pytest.mark.parametrize("path", ["nowhere", "data/t/m/n/9/raw"])
def test_what_is_not_there_is_an_error(lazy: tuple[Machine, Machine], path: str) -> None:
    with pytest.raises(NotFound):
        bring(lazy[1], "data", path)


def test_paths_are_checked(lazy: tuple[Machine, Machine]) -> None:
    for path in ("../x", "", "a//b"):
        with pytest.raises(BadKey):
            bring(lazy[1], path)


def read(machine: Machine, key: str) -> bytes:
    with run(open_file(machine.namespace(), machine.tree, key)) as file:
        return file.read()


def test_opening_brings_it_once_and_then_asks_nothing(lazy: tuple[Machine, Machine]) -> None:
    a, b = lazy
    key = "data/t/m/n/3/raw"
    assert read(b, key) == b"3" * 5_000
    assert b.requests > 0
    assert read(b, key) == b"3" * 5_000
    assert b.requests == 0
    assert raws(b) == {3}
    fresh = Machine(a.store, a.tree.parent / "fresh")
    assert read(fresh, key) == b"3" * 5_000
    with pytest.raises(NotFound):
        read(b, "data/t/m/n/4/raw")
    with pytest.raises(Left):
        read(b, "data/t/m/n")


def test_a_link_is_not_opened(lazy: tuple[Machine, Machine], tmp_path: Path) -> None:
    _, b = lazy
    (tmp_path / "secret").write_text("s")
    os.symlink(tmp_path / "secret", b.tree / "link")
    with pytest.raises(Left):
        read(b, "link")


def copies(machine: Machine, keys: Sequence[str]) -> set[str]:
    namespace = machine.namespace()
    found = set()
    for key, entry in run(namespace.get_many(keys)).items():
        assert entry is not None
        url = namespace.place.store.url
        file = local_copy(machine.tree, url, "ops", machine.env, key, entry.meta.sha256)
        if file is not None:
            with file:
                assert file.read() == run(namespace.read(key))
            found.add(key)
    return found


def test_a_local_file_stands_for_an_entry_only_while_it_is_current(lazy: tuple[Machine, Machine]) -> None:
    a, b = lazy
    keys = [f"data/t/m/n/{number}/raw" for number in (1, 2, 3)]
    assert copies(a, keys) == set(keys)
    assert copies(b, keys) == set()
    bring(b, "data")
    assert copies(b, keys) == set(keys)
    b.write(keys[0], "edited here", mtime=OLD + 9)
    run(a.namespace().append([Put(key=keys[1], data=b"3" * 5_000)]))
    (b.tree / keys[2]).unlink()
    assert copies(b, keys) == set()
    assert copies(Machine(a.store, a.tree.parent / "never"), keys) == set()
