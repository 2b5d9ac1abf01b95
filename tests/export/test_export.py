"""Export into targets that are not empty, and of names that lie."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swampstore.client.blocking import finish
from swampstore.errors import Conflict, Misuse
from swampstore.stores.base import Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.values.data import Datum
from swampstore.values.entry import CONFLICT, Inline, Meta, put_record
from swampstore.values.join import conflict_key
from swampstore.workers.ground import append_records
from swampstore.workers.legacy.export_mark import MARK
from swampstore.workers.sync.copies import copy_name
from tests.export.support import (
    BIG,
    NOW_MS,
    content,
    core_of,
    exported,
    exported_to_store,
    face_of,
    files,
    filled,
    index_of,
)

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


def test_files_of_others_are_never_removed(tmp_path: Path) -> None:
    """Where force has joined an export with other files, nobody can tell what an earlier run has left."""
    core, out = filled(), tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_bytes(b"not of an export")
    with pytest.raises(Conflict, match="no export of this"):
        exported(core, out, force=True, delete=True)
    assert files(out) == {"letter.txt": b"not of an export"}
    assert exported(core, out, force=True).left_over_examples == ["letter.txt"]
    for force in (False, True):
        with pytest.raises(Conflict, match="no export of this"):
            exported(core, out, delete=True, force=force)
    assert exported(core, out).resumed
    assert (out / "letter.txt").exists()


def test_what_others_added_behind_their_own_index_is_never_removed(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    exported(core, out)
    (out / ".datastore-index.json").write_text('{"version": 1, "entries": {}}')
    (out / "outputs" / "theirs").write_bytes(b"x")
    exported(core, out, force=True)
    with pytest.raises(Conflict, match="no export of this"):
        exported(core, out, delete=True)
    assert (out / "outputs" / "theirs").exists()


def test_a_store_that_came_into_an_export_stays_whole(tmp_path: Path) -> None:
    """A key named like an object of the store would be written over it; --delete would remove all the others."""
    core, store = filled(), MemoryStore(core_of().place.env, url="memory://there")
    face_of(core).put("root/x", b"a key of its own")
    face_of(core).put("saved/one", b"another")
    face_of(core).delete("outputs/00")
    elsewhere = exported_to_store(core, store, "ops/")
    assert "swampstore-internals" not in elsewhere.dropped
    filled(store)
    face_of(core).put("saved/two", b"a third")
    report = exported_to_store(core, store, "ops/", delete=True)
    assert report.dropped == {"swampstore-internals": 2}
    assert (report.left_over, report.deleted) == (0, 0)
    fresh = core_of(store=store)
    assert face_of(fresh).read("files/big") == BIG


def test_a_folder_named_like_the_root_of_a_store_is_none(tmp_path: Path) -> None:
    core, out = filled(), tmp_path / "out"
    face_of(core).put("root/x", b"1")
    exported(core, out)
    assert exported(core, out).written == 0


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
    report = exported(core, tmp_path / "out")
    found = files(tmp_path / "out")
    assert report.entries == len(found) == len(index_of(tmp_path / "out"))
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
    finish(append_records(core, [msgspec.structs.replace(record, flags=record.flags | CONFLICT)]))
    for _ in range(2):
        report = exported(core, out, delete=True)
        assert (report.conflicts, report.deleted, report.left_over) == (1, 0, 0)
        name = copy_name("outputs/00", digest)
        assert files(out)[name] == body
        assert index_of(out)[name]["size"] == len(body)
    assert report.written == 0
