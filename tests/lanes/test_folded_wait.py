"""Folded segments of a shared lane that wait to be deleted cost a reader nothing, and hide nothing from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from swampstore.client.blocking import Namespace
from swampstore.env.blocking import run
from swampstore.errors import Damaged
from swampstore.protocols import log
from swampstore.stores import local_tails, walk
from swampstore.stores.lanes import LaneLook
from swampstore.stores.local import LocalStore
from swampstore.values.names import COMMIT_LANE, Names
from tests.lanes.conftest import open_ns

NAMES = Names("ops")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False, lanes=True)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """What each look at the lanes was told to leave out."""
    told: list[dict[str, int]] = []
    real = local_tails.LocalTails.look

    def look(self: object, folder: str, file: str, ends: dict[str, int], after: dict[str, int]) -> LaneLook:
        told.append(dict(after))
        return real(self, folder, file, ends, after)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(local_tails.LocalTails, "look", look)
    return told


def count(ns: Namespace, times: int) -> None:
    for _ in range(times):
        ns.update("n", lambda held: b"%d" % (int(held or b"0") + 1))


def left_for_long(store: LocalStore) -> Namespace:
    """A client that has read 2 and was away while slots were folded and, their grace over, deleted; now it is 6."""
    ns, away = open_ns(store), open_ns(store)
    count(ns, 2)
    ns.compact()
    assert away.read("n") == b"2"
    goes_on(store, ns)
    return away


def goes_on(store: LocalStore, ns: Namespace) -> None:
    """Three more, which are folded and deleted, and one that is not."""
    count(ns, 3)
    ns.compact()
    root = run(ns._core.register.read()).root
    run(store.delete([NAMES.segment(COMMIT_LANE, slot + 1) for slot in range(root.watermark(COMMIT_LANE))]))
    count(ns, 1)


def looked_at(monkeypatch: pytest.MonkeyPatch, reader: Namespace) -> int:
    """How many names a strict read lists or asks for."""
    seen: list[str] = []
    lstat, read, names = os.lstat, walk._read, local_tails._names
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lambda path: (seen.append(path), lstat(path))[1])
        patch.setattr(walk, "_read", lambda path: (seen.extend(read(path)), read(path))[1])
        patch.setattr(local_tails, "_names", lambda path: (seen.extend(names(path)), names(path))[1])
        reader.get("n")
    return len(seen)


def test_a_read_looks_at_as_many_names_whatever_waits_to_be_deleted(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns, reader = open_ns(store), open_ns(store)
    costs = []
    for more in (2, 60):
        count(ns, more)
        ns.compact()
        count(ns, 3)
        reader.get("n")
        costs.append(looked_at(monkeypatch, reader))
    assert len(os.listdir(f"{store.root}/{NAMES.log}{COMMIT_LANE}")) == 68
    # the root; the folder of the one lane; three slots that are not folded, and the next
    assert costs == [6, 6]


def test_who_was_away_while_slots_were_deleted_sees_what_follows_them(
    store: LocalStore, looks: list[dict[str, int]]
) -> None:
    away = left_for_long(store)
    looks.clear()
    assert away.read("n") == b"6"
    assert looks[:2] == [{COMMIT_LANE: 2}, {}], "the lane was told up to a slot that had been deleted: all is listed"
    looks.clear()
    assert away.read("n") == b"6"
    assert all(told == {COMMIT_LANE: 5} for told in looks), "and the next read is short again"


def test_without_the_check_it_would_miss_them(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above proves, it proves because of that check."""
    monkeypatch.setattr(log, "_reaches", lambda *_: True)
    assert left_for_long(store).read("n") == b"5"


def test_the_root_is_read_after_the_look(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read before would not tell that what the look misses has been folded and deleted in between."""
    ns, reader = open_ns(store), open_ns(store)
    count(ns, 2)
    ns.compact()
    assert reader.read("n") == b"2"
    real, left = local_tails.LocalTails.look, [1]

    def look(self: local_tails.LocalTails, *asked: Any) -> Any:
        if left:
            left.clear()
            goes_on(store, ns)
        return real(self, *asked)

    monkeypatch.setattr(local_tails.LocalTails, "look", look)
    assert reader.read("n") == b"6"


def test_a_namespace_put_back_to_an_older_state_is_read_as_it_is(
    store: LocalStore, looks: list[dict[str, int]]
) -> None:
    ns, away = open_ns(store), open_ns(store)
    count(ns, 1)
    ns.compact()
    older = run(store.get(NAMES.root)).body
    count(ns, 2)
    ns.compact()
    assert away.read("n") == b"3"
    for slot in (2, 3):
        os.unlink(f"{store.root}/{NAMES.segment(COMMIT_LANE, slot)}")
    Path(store.root, NAMES.root).write_bytes(older)
    looks.clear()
    assert away.read("n") == b"1"
    assert looks[:2] == [{COMMIT_LANE: 3}, {}]


def test_a_lost_root_is_noticed_though_what_it_covered_is_not_listed(store: LocalStore) -> None:
    ns, reader = open_ns(store), open_ns(store)
    count(ns, 2)
    run(ns._core.compactor().fold_once())  # and nothing is merged: no shard tells that there was a root
    assert reader.read("n") == b"2"
    os.unlink(f"{store.root}/{NAMES.segment(COMMIT_LANE, 1)}")
    os.unlink(f"{store.root}/{NAMES.root}")
    with pytest.raises(Damaged, match="begins at slot 2"):
        reader.read("n")


def test_a_store_whose_lanes_are_no_files_is_listed(tmp_path: Path, looks: list[dict[str, int]]) -> None:
    """A network file system may say for a while that a name is missing."""
    store = LocalStore(tmp_path, durable=False, lanes=False)
    ns = open_ns(store)
    count(ns, 2)
    ns.compact()
    count(ns, 1)
    assert ns.read("n") == b"3"
    assert not any(looks)
