"""A store, or a namespace of one, is no target of an export, not by force either."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import swampstore
from swampstore.client.blocking import finish
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import Conflict
from swampstore.stores.memory import MemoryStore
from swampstore.workers.legacy import export_mark
from swampstore.workers.legacy.export_around import refuse_prefix
from swampstore.workers.legacy.export_sink import close_sink, open_sink
from tests.export.support import core_of, exported, exported_to_store, face_of, files, filled


def store_at(folder: Path, kind: str) -> None:
    """A store with namespace ``ops``, folded or not, or without the root that it had."""
    with swampstore.open(str(folder), create=True) as store:
        ns = store.namespace("ops")
        ns.put("a", b"1")
        if kind != "log":
            ns.compact()
    if kind == "log":
        assert not (folder / "ops" / "root").exists()
    if kind == "shards":
        (folder / "ops" / "root").unlink()
        shutil.rmtree(folder / "ops" / "log", ignore_errors=True)
        assert (folder / "ops" / "shard").is_dir()


@pytest.mark.parametrize("kind", ["root", "log", "shards"])
@pytest.mark.parametrize(("at", "named"), [("ops", ""), ("", "ops"), ("", "")])
def test_a_folder(tmp_path: Path, kind: str, at: str, named: str) -> None:
    there = tmp_path / "store"
    store_at(there, kind)
    before = files(there)
    what = "is a namespace of a store" if at or named else "is a store: 'ops'"
    for force in (False, True):
        with pytest.raises(Conflict, match=what) as caught:
            exported(filled(), there / at, named, force=force)
        assert "outside of every store" in caught.value.hint
    assert files(there) == before


@pytest.mark.parametrize("base", ["ops/", ""])
def test_a_bucket(base: str) -> None:
    core = filled()
    store = MemoryStore(core.place.env, url="memory://there")
    filled(store)
    for force in (False, True):
        with pytest.raises(Conflict, match="a store"):
            exported_to_store(core, store, base, force=force)
    assert exported_to_store(core, store, "beside/").written


def at(url: str, named: str = "") -> None:
    env = BlockingEnv()
    finish(close_sink(finish(open_sink(url, env, named, timeout=5))))


@pytest.mark.parametrize("kind", ["root", "log", "shards"])
@pytest.mark.parametrize(
    ("place", "named"), [("team2", ""), ("", "team2"), ("ops/sub", ""), ("a/b/c", "d"), ("ops/log", ""), ("link", "")]
)
def test_a_folder_anywhere_inside(tmp_path: Path, kind: str, place: str, named: str) -> None:
    """Nothing is made there either; and what lies beside the store is no store."""
    there = tmp_path / "store"
    store_at(there, kind)
    if place == "link":
        place = "../elsewhere/new"
        (tmp_path / "elsewhere").symlink_to(there / "ops")
    before = sorted(there.rglob("*"))
    with pytest.raises(Conflict, match=r"lies in (the|a namespace of a) store") as caught:
        at(str(there / place), named)
    assert "outside of every store" in caught.value.hint
    assert sorted(there.rglob("*")) == before
    at(str(tmp_path / "beside"), named)


@pytest.mark.parametrize("base", ["ops/sub", "team2", "a/b"])
def test_anywhere_inside_in_a_bucket(base: str) -> None:
    core = core_of()
    face_of(core).put("a", b"1")
    with pytest.raises(Conflict, match="lies in"):
        finish(refuse_prefix(core.place.store, base))
    finish(refuse_prefix(core_of().place.store, base))


def test_without_the_check_it_goes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: object) -> None: ...

    store_at(tmp_path / "store", "root")
    monkeypatch.setattr(export_mark, "refuse_store", nothing)
    assert exported(filled(), tmp_path / "store" / "ops", force=True).written


def test_what_is_only_called_so_is_no_store(tmp_path: Path) -> None:
    for folder in (tmp_path / "log" / "s00", tmp_path / "ops" / "log" / "s00"):
        folder.mkdir(parents=True)
        (folder / "0000000000000001").write_bytes(b"not a segment")
    (tmp_path / "root").write_bytes(b"not a root")
    (tmp_path / "ops" / "root").mkdir()
    assert exported(filled(), tmp_path, force=True).left_over == 3
    at(str(tmp_path / "new"))
    at(str(tmp_path / "ops" / "new"))
