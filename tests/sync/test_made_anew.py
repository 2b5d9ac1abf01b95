"""A namespace that was deleted and made anew since a tree was synced with it: what it lacks was not deleted by anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

import swampstore
from swampstore.limits import NONCES

NAME = "n"


def new_life(url: str, folds: int) -> None:
    """Somebody deletes the namespace and makes it anew; its root is replaced ``folds`` times."""
    with swampstore.open(url) as store:
        store.delete_namespace(NAME, dry_run=False)
    with swampstore.open(url) as store:
        for number in range(folds):
            store.namespace(NAME).put(f"new{number}", b"1")
            store.namespace(NAME).compact()


@pytest.mark.parametrize("folds", [1, NONCES // 2, 2 * NONCES + 5])
def test_files_of_the_old_life_are_offered_to_the_new_one(tmp_path: Path, folds: int) -> None:
    url, tree = f"file://{tmp_path / 'store'}", tmp_path / "tree"
    tree.mkdir()
    (tree / "mine").write_text("mine")
    with swampstore.open(url, create=True) as store:
        ns = store.namespace(NAME)
        for _ in range(3):
            ns.sync(tree)
            ns.compact()
    new_life(url, folds)
    with swampstore.open(url) as store:
        report = store.namespace(NAME).sync(tree)
        assert (report.reset, report.deleted_local, report.pushed, report.pulled) == (True, 0, 1, folds)
        assert store.namespace(NAME).read("mine") == b"mine"
    assert (tree / "mine").read_text() == "mine"


def test_what_lies_in_slots_of_the_same_numbers_is_compared(tmp_path: Path) -> None:
    url, tree = f"file://{tmp_path / 'store'}", tmp_path / "tree"
    tree.mkdir()
    for life in ("old", "new"):
        with swampstore.open(url, create=True) as store:
            store.namespace(NAME).update("k", lambda _, life=life: life.encode())
            store.namespace(NAME).sync(tree)
            assert (tree / "k").read_text() == life
        if life == "old":
            (tree / "k").unlink()
            with swampstore.open(url) as store:
                store.delete_namespace(NAME, dry_run=False)
