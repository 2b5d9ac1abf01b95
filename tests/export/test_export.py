"""Export on hostile ground: targets that are not empty, lying names, full disks, processes that die."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from swampstore.client.blocking import finish
from swampstore.errors import Conflict, Misuse, StoreForbidden, StoreFull
from swampstore.stores.base import Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.values.entry import CONFLICT, Inline, Meta, put_record
from swampstore.values.join import conflict_key
from swampstore.workers.ground import append_records
from swampstore.workers.legacy import export as worker
from swampstore.workers.legacy.export_index import IndexDraft, iso, partition
from swampstore.workers.legacy.export_mark import MARK
from swampstore.workers.spool import Parts, Spool
from swampstore.workers.sync.copies import copy_name
from tests.export.support import NOW_MS, core_of, exported, exported_to_store, face_of, files, index_of
from tests.workers.world import Crash, HookedStore

BIG = os.urandom(300_000)


def filled(store: Any = None) -> Any:
    """A namespace with every kind of content."""
    core = core_of(store=store)
    ns = face_of(core)
    ns.put_many({f"outputs/{number:02}": b"%d" % number for number in range(20)})
    ns.put_many({f"files/p{number}": b"%d" % number * 9000 for number in range(4)})
    ns.put("files/big", BIG)
    data = ns.data("aws/ec2:web", "state")
    for number in range(3):
        data.put(b"v%d" % number)
    ns.compact()
    return core


def content(core: Any) -> dict[str, bytes]:
    ns = face_of(core)
    found = {entry.key: ns.read(entry.key) for entry in ns.scan()}
    return found | {"data/aws/ec2/web/state/latest": b"3"}


# --- targets -------------------------------------------------------------------------------------------------------------


def test_a_target_that_is_not_empty_is_refused_and_untouched(tmp_path: Path) -> None:
    core = filled()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_bytes(b"mine")
    with pytest.raises(Conflict, match="not empty"):
        exported(core, tmp_path / "out")
    assert files(tmp_path / "out") == {"mine.txt": b"mine"}
    assert not (tmp_path / "out" / MARK).exists()
    report = exported(core, tmp_path / "out", force=True)
    assert files(tmp_path / "out") == content(core) | {"mine.txt": b"mine"}
    assert report.left_over_examples == ["mine.txt"]
    assert "mine.txt" not in index_of(tmp_path / "out")


@pytest.mark.parametrize("what", ["link", "folder link", "pipe"])
def test_what_is_no_file_is_something_too(tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if what == "pipe":
        os.mkfifo(out / "x")
    else:
        (out / "x").symlink_to(tmp_path if what == "folder link" else tmp_path / "none")
    with pytest.raises(Conflict, match="not empty"):
        exported(filled(), out)


def test_a_store_as_target_that_is_not_empty(tmp_path: Path) -> None:
    core = filled()
    store = MemoryStore(core.place.env, url="memory://there")
    finish(store.put("old/x", b"", Overwrite()))
    finish(store.put("older", b"", Overwrite()))
    with pytest.raises(Conflict, match="not empty"):
        exported_to_store(core, store, "old/")
    assert exported_to_store(core, store, "new/").written == len(content(core))


def test_an_earlier_export_is_brought_up_to_date(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    first = exported(core, out)
    again = exported(core, out)
    assert (again.written, again.kept, again.resumed) == (0, first.entries, True)
    ns = face_of(core)
    ns.put("outputs/00", b"new")
    ns.delete("outputs/01")
    ns.data("aws/ec2:web", "state").put(b"v4")
    third = exported(core, out)
    assert (third.written, third.left_over_examples) == (4, ["outputs/01"])
    assert files(out)["data/aws/ec2/web/state/latest"] == b"4"
    assert "outputs/01" not in index_of(out)
    assert (out / "outputs" / "01").exists()
    fourth = exported(core, out, delete=True)
    assert (fourth.deleted, fourth.left_over) == (1, 0)
    assert not (out / "outputs" / "01").exists()


@pytest.mark.parametrize(("first", "second"), [("v1", "v2"), ("v2", "v1"), ("v2", "v2")])
def test_the_other_index_takes_the_place_of_the_first(tmp_path: Path, first: str, second: str) -> None:
    core, out = filled(), tmp_path / "out"
    exported(core, out, index=first)
    face_of(core).delete("files/big")
    for number in range(4):
        face_of(core).delete(f"files/p{number}")
    exported(core, out, index=second, delete=True)
    assert index_of(out).keys() == content(core).keys()
    assert (out / ".datastore-index.json").exists() == (second == "v1")
    assert (out / "_index" / "_meta.json").exists() == (second == "v2")


def test_what_others_changed_since_is_not_written_over(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    exported(core, out)
    (out / ".datastore-index.json").write_text('{"version": 1, "entries": {}}')
    with pytest.raises(Conflict, match="changed by others"):
        exported(core, out)
    assert exported(core, out, force=True).written == 0
    assert len(index_of(out)) == len(content(core))


def test_another_namespace_or_part_is_refused(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    exported(core, out, prefix="files/")
    assert set(files(out)) == {key for key in content(core) if key.startswith("files/")}
    with pytest.raises(Conflict, match="'files/'"):
        exported(core, out)
    with pytest.raises(Conflict, match="namespace 'ops'"):
        exported(core_of("other"), out)
    (out / MARK).write_bytes(b"nonsense")
    with pytest.raises(Conflict, match="cannot be read"):
        exported(core, out, prefix="files/")
    with pytest.raises(Misuse):
        exported(core, out, index="v3")


def test_a_wrong_file_of_the_right_size_is_found(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    exported(core, out)
    (out / "files" / "big").write_bytes(bytes(len(BIG)))
    report = exported(core, out)
    assert (report.written, (out / "files" / "big").read_bytes()) == (1, BIG)
    store = MemoryStore(core.place.env, url="memory://there")
    exported_to_store(core, store)
    finish(store.put("files/big", bytes(len(BIG)), Overwrite()))
    assert exported_to_store(core, store).written == 1


# --- names ---------------------------------------------------------------------------------------------------------------


def records(core: Any, *keys: str) -> None:
    """Entries under any keys, as a hostile writer could append them."""
    body = b"evil"
    meta = Meta(size=len(body), at=Inline(body), sha256=hashlib.sha256(body).digest())
    finish(append_records(core, [put_record(key, core.writer.new_version(), meta) for key in keys]))


def test_no_name_leads_out_of_the_target(tmp_path: Path) -> None:
    core, out = core_of(), tmp_path / "a" / "out"
    (tmp_path / "a").mkdir()
    records(core, "../evil", "/etc/evil", "x/../../evil", "ok", "a//b", ".", "back\\slash")
    report = exported(core, out)
    assert files(tmp_path) == {"a/out/ok": b"evil"} | {
        name: body for name, body in files(tmp_path).items() if name.startswith("a/out/.")
    }
    assert report.dropped == {"bad-key": 6}
    assert list(index_of(out)) == ["ok"]


def test_no_name_takes_the_place_of_the_index_or_a_lock(tmp_path: Path) -> None:
    core, out = core_of(), tmp_path / "out"
    records(
        core, ".datastore-index.json", "_index/_meta.json", ".datastore.lock", "secrets/x", "ops/ops/x", "data/x/.lock"
    )
    records(core, "_meta/x", "_root/x", MARK, "fine")
    report = exported(core, out, "ops", index="v2")
    assert set(index_of(out / "ops")) == {"_meta/x", "_root/x", "fine"}
    assert json.loads((out / "ops" / MARK).read_text())["state"] == "complete"
    assert sum(report.dropped.values()) == 7


def test_a_link_in_the_target_is_not_followed(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    exported(core, out)
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in os.listdir(out / "outputs"):
        os.unlink(out / "outputs" / name)
    (out / "outputs").rmdir()
    (out / "outputs").symlink_to(outside)
    report = exported(core, out)
    assert (report.blocked, report.incomplete) == (20, True)
    assert not list(outside.iterdir())
    assert not any(rel.startswith("outputs/") for rel in index_of(out))


def test_a_key_that_is_a_folder_too(tmp_path: Path) -> None:
    core, out = core_of(), tmp_path / "out"
    records(core, "a", "a/b", "x" * 300, "fine")
    report = exported(core, out)
    assert report.blocked == 2
    assert sorted(index_of(out)) == ["a", "fine"]
    store = MemoryStore(core.place.env, url="memory://there")
    assert exported_to_store(core, store).blocked == 0


def test_fields_that_contradict_the_path_derive_nothing_outside_it(tmp_path: Path) -> None:
    from swampstore.values.data import Datum

    core, out = core_of(), tmp_path / "out"
    data = Datum(model_type="../../x", model_id="..", name="n", ordinal=7)
    meta = Meta(size=1, at=Inline(b"1"), sha256=hashlib.sha256(b"1").digest(), data=data)
    finish(append_records(core, [put_record("data/t/m/n/7/raw", core.writer.new_version(), meta)]))
    exported(core, out)
    assert set(files(out)) == {"data/t/m/n/7/raw", "data/t/m/n/latest"}


def test_latest_is_derived_from_live_versions(tmp_path: Path) -> None:
    core = filled()
    ns = face_of(core)
    ns.put("data/aws/ec2/web/state/latest", b"99")
    ns.put("data/plain/m/n/latest", b"kept as it is")
    ns.data("aws/ec2:web", "state").delete(3)
    exported(core, tmp_path / "out")
    found = files(tmp_path / "out")
    assert found["data/aws/ec2/web/state/latest"] == b"2"
    assert found["data/plain/m/n/latest"] == b"kept as it is"


def test_what_has_expired_or_is_gone_is_not_exported(tmp_path: Path) -> None:
    core = filled()
    ns = face_of(core)
    ns.put("short", b"", expires=NOW_MS + 60_000)
    core.place.env.advance(120)
    report = exported(core, tmp_path / "out")
    assert report.expired == 1
    assert "short" not in files(tmp_path / "out")


def test_kept_losers_lie_beside_their_paths(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    version = core.writer.new_version()
    body = b"the other one"
    digest = hashlib.sha256(body).digest()
    meta = Meta(size=len(body), at=Inline(body), sha256=digest)
    record = put_record(conflict_key("outputs/00", version), version, meta)
    import msgspec

    finish(append_records(core, [msgspec.structs.replace(record, flags=record.flags | CONFLICT)]))
    for _ in range(2):
        report = exported(core, out, delete=True)
        assert (report.conflicts, report.deleted, report.left_over) == (1, 0, 0)
        name = copy_name("outputs/00", digest)
        assert files(out)[name] == body
        assert index_of(out)[name]["size"] == len(body)
    assert report.written == 0


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
    import tracemalloc

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
