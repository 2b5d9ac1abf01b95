"""Export over damaged contents, full disks and read-only stores, by processes that die; and the index it writes."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from swampstore.client.blocking import finish
from swampstore.errors import StoreForbidden, StoreFull
from swampstore.stores.base import Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.workers.legacy import export as worker
from swampstore.workers.legacy.export_index import IndexDraft, iso, partition
from swampstore.workers.legacy.export_mark import MARK
from swampstore.workers.spool import Parts, Spool
from tests.export.support import BIG, content, core_of, exported, exported_to_store, face_of, files, filled, index_of
from tests.workers.world import Crash, HookedStore

# --- damage, full disks, crashes -----------------------------------------------------------------------------------------


def test_damaged_contents_are_reported_and_left_out(tmp_path: Path) -> None:
    core = filled(store := MemoryStore(core_of().place.env, url="memory://s"))
    for name in [name for name in store._objects if "/blob/" in name]:
        finish(store.put(name, b"y" * len(BIG), Overwrite()))
    finish(store.delete([name for name in store._objects if "/pack/" in name]))
    report = exported(core, tmp_path / "out")
    assert (report.damaged, report.incomplete) == (5, True)
    assert not any(rel.startswith("files/") for rel in index_of(tmp_path / "out"))


def test_a_full_disk_says_so_and_the_next_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core, out = filled(), tmp_path / "out"
    whole, left = os.write, [40_000]

    def write(fd: int, data: Any) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(fd, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreFull) as raised:
        exported(core, out)
    assert "same export again" in raised.value.hint
    monkeypatch.setattr(os, "write", whole)
    assert json.loads((out / MARK).read_text())["state"] == "unfinished"
    assert not (out / ".datastore-index.json").exists()
    report = exported(core, out)
    assert report.kept > 0
    assert files(out) == content(core)


def test_a_full_disk_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full:
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr("swampstore.workers.spool.tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(StoreFull, match="temporary"):
        exported(filled(), tmp_path / "out")


@pytest.mark.parametrize("index", ["v1", "v2"])
def test_killed_anywhere_and_run_again(index: str) -> None:
    core = filled()
    store = HookedStore(core.place.env)
    exported_to_store(core, store, "old/", index=index)
    calls, wanted = len(store.calls), {name: store.raw(name) for name in store.names()}
    for number in range(calls):
        store = HookedStore(core.place.env)
        left = [number]

        def before(verb: str, name: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        store.before = before
        with pytest.raises(Crash):
            exported_to_store(core, store, "old/", index=index)
        meta = "old/_index/_meta.json" if index == "v2" else "old/.datastore-index.json"
        if meta in store.names():
            assert set(wanted) - set(store.names()) == set()  # the index comes last
        store.before = lambda verb, name: None
        exported_to_store(core, store, "old/", index=index)
        found = {name: store.raw(name) for name in store.names()}
        assert found.keys() == wanted.keys()
        own = ("old/_index/_meta.json", f"old/{MARK}")  # a second run has a higher number
        assert all(found[name] == wanted[name] for name in found if name not in own)


def test_the_source_may_be_read_only(tmp_path: Path) -> None:
    core = filled(store := HookedStore(core_of().place.env))
    face_of(core).data("aws/ec2:web", "state").put(b"pending")

    def before(verb: str, name: str) -> None:
        if verb in ("put", "delete"):
            raise StoreForbidden("read only")

    store.before = before
    report = exported(core, tmp_path / "out")
    assert (report.pending, report.incomplete) == (1, True)
    assert "files/big" in files(tmp_path / "out")


def test_contents_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PART_BYTES", 1000)
    core = filled()
    exported(core, tmp_path / "out")
    assert files(tmp_path / "out") == content(core)
    store = MemoryStore(core.place.env, url="memory://there")
    exported_to_store(core, store)
    assert store._objects["files/big"].body == BIG


# --- the index -----------------------------------------------------------------------------------------------------------


def test_times_and_partitions() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(4_102_444_800_123) == "2100-01-01T00:00:00.123Z"
    assert iso(-5) == iso(0)
    assert iso(1 << 62) == "9999-12-31T23:59:59.999Z"
    assert partition("data/a/b/m/n/1/raw") == "data--a--b--m"
    assert partition("x") == "_root"
    names = {partition(key) for key in ("_meta/x", "_root/x", "../x", "a" * 900 + "/x", "data/" + "b/" * 300 + "c")}
    assert all("/" not in name and len(name.encode()) < 240 and name not in ("_meta", "_root", "..") for name in names)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_parts_are_what_they_say(chunk: int) -> None:
    with Spool() as spool:
        spool.write(b"hello")
        spool.write(b"world")
        parts = Parts(spool, [(0, 5), (5, 5), (1, 2)], head=b"<", between=b", ", tail=b">")
        found = list(parts.chunks(chunk))
        assert b"".join(found) == b"<hello, world, el>"
        assert parts.size == len(b"".join(found))
        assert all(len(piece) <= chunk for piece in found)


def test_the_memory_of_an_index_does_not_grow_with_it() -> None:
    with Spool() as spool:
        draft = IndexDraft(spool, partitioned=True)
        tracemalloc.start()
        for number in range(20_000):
            draft.add(f"data/t/m{number // 5000}/n/{number}/raw", 1, 0, bytes(32))
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held < 3_000_000
        sizes = [part.size for part in draft.partitions().values()]
        assert (len(sizes), sum(sizes) > 3_000_000) == (4, True)
