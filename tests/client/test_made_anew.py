"""A namespace that was deleted and made anew by another process: slots of shared lanes have the same numbers again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import swampstore
from swampstore.client.blocking import Datastore

NAME = "n"


@pytest.fixture(params=["with lane files", "without"])
def url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return f"file://{tmp_path / 'store'}" + ("" if request.param == "with lane files" else "?lanes=off")


@pytest.fixture
def ours(url: str) -> Iterator[Datastore]:
    with swampstore.open(url, create=True) as store:
        yield store


def live(url: str, life: str, *, folded: bool) -> None:
    """Another process: a life of the namespace, in which every slot holds something of its own."""
    with swampstore.open(url) as store:
        ns = store.namespace(NAME)
        for number in range(3):
            ns.update("k", lambda _, number=number: f"{life}{number}".encode())
            ns.stream("st").append([f"{life}{number}".encode()])
            if folded and number == 1:
                ns.compact()


def end(url: str) -> None:
    with swampstore.open(url) as store:
        store.delete_namespace(NAME, dry_run=False)


def held(store: Datastore) -> tuple[bytes, list[bytes]]:
    ns = store.namespace(NAME)
    return ns.read("k"), [record.data for record in ns.stream("st").read()]


@pytest.mark.parametrize("folded", [False, True], ids=["without a root", "with roots"])
@pytest.mark.parametrize("looked", [False, True], ids=["unseen", "seen empty"])
def test_who_remembers_the_old_life_reads_and_folds_the_new_one(
    ours: Datastore, url: str, folded: bool, looked: bool
) -> None:
    live(url, "old", folded=folded)
    assert held(ours) == (b"old2", [b"old0", b"old1", b"old2"])
    end(url)
    if looked:
        assert list(ours.namespace(NAME).list("")) == []
    live(url, "new", folded=folded)
    whole = (b"new2", [b"new0", b"new1", b"new2"])
    assert held(ours) == whole
    ours.namespace(NAME).compact()
    with swampstore.open(url) as another:
        assert held(another) == whole
