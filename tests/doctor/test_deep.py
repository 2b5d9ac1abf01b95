"""The deep examination: every way in which stored bytes can be wrong is told, on a store of real files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import swampstore
from swampstore.client.blocking import Namespace, finish
from swampstore.stores.local import LocalStore
from swampstore.values.data import head_key, id_key, raw_path
from swampstore.values.entry import OPAQUE, Inline, Meta, Record, put_record
from swampstore.values.root import Root, decode_root, encode_root
from swampstore.values.run import build_run
from swampstore.workers.doctor import deep, deep_contents
from swampstore.workers.doctor.finding import Finding


@pytest.fixture
def ns(tmp_path: Path) -> Iterator[Namespace]:
    """Contents of all kinds, in shards, level 0 and the log."""
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        namespace = store.namespace("ops")
        namespace.put("blob/large", b"x" * 2_000_000)
        namespace.put("blob/small", b"y" * 300_000)
        namespace.put_many({f"pack/{number}": bytes([number]) * 20_000 for number in range(5)})
        namespace.put("inline", b"z")
        for number in range(3):
            namespace.data("aws/ec2:web", "state").put(b"%d" % number)
        namespace.compact()
        namespace.put("inline", b"again")
        namespace.put("log", b"1")
        namespace.data("aws/ec2:web", "state").put(b"pending")
        yield namespace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store" / "ops"


def codes(namespace: Namespace, **options: Any) -> list[str]:
    return namespace.doctor(deep=True, guards=False, **options).codes()


def only(namespace: Namespace) -> Finding:
    (found,) = namespace.doctor(deep=True, guards=False).findings
    return found


def change(path: Path, at: int = 5, *, body: bytes | None = None) -> None:
    """Flip a bit of a file, or replace it."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data) if body is None else body)


def biggest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: path.stat().st_size)


def change_root(folder: Path, **fields: Any) -> None:
    root: Root = decode_root((folder / "root").read_bytes(), "root")
    change(folder / "root", body=encode_root(msgspec.structs.replace(root, **fields)))


# --- whole -----------------------------------------------------------------------------------------------------------


def test_a_whole_namespace(ns: Namespace) -> None:
    report = ns.doctor(deep=True)
    assert report.findings == []
    counts = report.counts
    assert counts["entries"] == 8 + 1 + 3 * 2 + 1
    assert counts["checked_contents"] == counts["entries"]
    assert counts["checked_bytes"] == counts["content_bytes"] > 2_400_000
    assert ns.doctor().counts.get("checked_bytes") is None


def test_a_sample_reads_less_and_still_sees_what_is_missing(ns: Namespace, folder: Path) -> None:
    report = ns.doctor(deep=True, sample=1, guards=False)
    assert report.findings == []
    assert report.counts["checked_bytes"] < report.counts["content_bytes"]
    biggest(folder / "blob").unlink()
    assert codes(ns, sample=1) == ["content-missing"]


def test_it_leaves_no_pin_behind(ns: Namespace, folder: Path) -> None:
    codes(ns)
    assert not (folder / "pin").exists()


def test_packs_are_read_once_and_in_rounds(ns: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    ns.put_many({f"more/{number}": bytes([number]) * 20_000 for number in range(5)})
    ns.compact()
    monkeypatch.setattr(deep_contents, "MEMBERS", 5)
    report = ns.doctor(deep=True, guards=False)
    assert report.findings == []
    assert report.counts["checked_contents"] == report.counts["entries"]


# --- contents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["large", "small"])
@pytest.mark.parametrize(
    ("how", "code"), [("flip", "content-damaged"), ("cut", "content-damaged"), ("gone", "content-missing")]
)
def test_blobs(ns: Namespace, folder: Path, size: str, how: str, code: str) -> None:
    pick = max if size == "large" else min
    blob = pick((folder / "blob").iterdir(), key=lambda path: path.stat().st_size)
    if how == "gone":
        blob.unlink()
    else:
        change(blob, -1, body=blob.read_bytes()[:-1] if how == "cut" else None)
    found = only(ns)
    assert (found.code, found.severity) == (code, "error")
    assert f"blob/{size}" in found.text
    assert blob.name in found.name


def test_a_member_of_a_pack(ns: Namespace, folder: Path) -> None:
    (pack,) = (folder / "pack").iterdir()
    change(pack, 50_000)
    found = only(ns)
    assert (found.code, found.name) == ("content-damaged", f"ops/pack/{pack.name}")
    assert "pack/2" in found.text
    change(pack, body=pack.read_bytes()[:70_000])
    assert [one.code for one in ns.doctor(deep=True, guards=False).findings] == ["content-damaged"] * 3
    pack.unlink()
    assert codes(ns) == ["content-missing"]


def test_many_findings_are_bounded(ns: Namespace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep, "MOST", 2)
    (pack,) = (folder / "pack").iterdir()
    change(pack, body=b"")
    found = ns.doctor(deep=True, guards=False).findings
    assert len(found) == 3
    assert found[-1].text == "and 3 more of these"


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_block_that_was_changed(ns: Namespace, folder: Path) -> None:
    (shard,) = (folder / "shard").iterdir()
    change(shard)
    found = [one for one in ns.doctor(deep=True, guards=False).findings if one.severity == "error"]
    assert [(one.code, one.name) for one in found] == [("run-damaged", f"ops/shard/{shard.name}")]
    assert ns.doctor(guards=False).healthy, "the cheap look reads no blocks: the test would prove nothing"


def test_another_run_of_the_same_size(ns: Namespace, folder: Path) -> None:
    """Every block is good, the digest is not."""
    root = decode_root((folder / "root").read_bytes(), "root")
    (ref,) = root.shards
    change_root(folder, shards=(msgspec.structs.replace(ref, digest=b"0" * 32),))
    assert codes(ns) == ["run-damaged", "cut-short"]


def test_equal_versions_with_different_bytes(ns: Namespace, folder: Path) -> None:
    root = decode_root((folder / "root").read_bytes(), "root")
    entry = ns.get("blob/small")
    assert entry is not None
    twin = put_record("blob/small", entry.version, Meta(size=1, at=Inline(b"1")))
    assert codes(ns) == []
    change_root(folder, inline=(twin,))
    assert "equal-versions" in codes(ns)
    ref, data = build_run("l0/" + "0" * 32, [twin])
    (folder / "l0").mkdir(exist_ok=True)
    (folder / ref.name).write_bytes(data)
    change_root(folder, inline=(), level0=(*root.level0, ref))
    assert "equal-versions" in codes(ns)


def test_pack_counts_and_their_repair(ns: Namespace, folder: Path) -> None:
    root = decode_root((folder / "root").read_bytes(), "root")
    (pack,) = root.packs
    for wrong in ({pack: 4}, {}, {pack: 5, "0" * 32: 1}):
        change_root(folder, packs=wrong)
        assert "pack-counts" in codes(ns)
        assert [step.code for step in ns.repair(deep=True).steps] == ["pack-counts"]
        assert [step.code for step in ns.repair(deep=True, dry_run=False).steps] == ["pack-counts"]
        repaired = decode_root((folder / "root").read_bytes(), "root")
        assert repaired.packs == {pack: 5}
        assert "pack-counts" not in codes(ns)
        assert {item.name for item in repaired.garbage} >= {f"pack/{one}" for one in wrong if one != pack}


# --- the data model ----------------------------------------------------------------------------------------------------

ITEM = "data/aws/ec2/web/state"


def add(ns: Namespace, *records: Record) -> None:
    finish(ns._core.writer.append(list(records)))
    ns.compact()


def test_a_head_that_is_too_low_and_its_repair(ns: Namespace, folder: Path) -> None:
    """It was lost with a root; the next put would be given a number that is taken."""
    from swampstore.values.data import encode_ordinal

    ns.compact()
    root = decode_root((folder / "root").read_bytes(), "root")
    (ref,) = root.shards
    from swampstore.values.run import decode_block
    from swampstore.workers.salvage import read_run

    data = (folder / ref.name).read_bytes()
    records = [
        record
        for info in read_run(ref.name, data, "x").index
        for record in decode_block(info, data[info.offset : info.offset + info.size], "x")
    ]
    low = [
        msgspec.structs.replace(record, version=b"\0" * 24, value=encode_ordinal(2))
        if record.key == head_key(ITEM)
        else record
        for record in records
    ]
    new, body = build_run("shard/" + "0" * 32, low)
    (folder / new.name).write_bytes(body)
    change_root(folder, shards=(new,))
    assert codes(ns) == ["head-too-low"]
    assert [step.code for step in ns.repair(deep=True, dry_run=False).steps] == ["head"]
    ns.compact()
    assert codes(ns) == []
    assert ns.data("aws/ec2:web", "state").put(b"next", ordinal=True).ordinal == 5


def test_an_ordinal_that_two_ids_have(ns: Namespace) -> None:
    from swampstore.values.data import encode_ordinal
    from swampstore.values.version import refined

    version = ns._core.writer.new_version()
    add(ns, Record(id_key(ITEM, version), refined(version), OPAQUE, 0, encode_ordinal(2)))
    assert codes(ns)[0] == "ordinal-twice"


def test_an_id_without_its_version(ns: Namespace) -> None:
    from swampstore.values.data import encode_ordinal
    from swampstore.values.version import refined

    version = ns._core.writer.new_version()
    add(ns, Record(id_key(ITEM, version), refined(version), OPAQUE, 0, encode_ordinal(9)))
    found = only(ns)
    assert (found.code, found.severity, found.name) == ("id-dangling", "note", ITEM)


def test_a_version_without_metadata_and_one_whose_fields_lie(ns: Namespace) -> None:
    ns.compact()
    ns.delete(f"{ITEM}/2/metadata.yaml")
    assert codes(ns) == ["no-metadata"]
    entry = ns.get(raw_path(ITEM, 3))
    assert entry is not None
    assert entry.meta.data is not None
    lie = msgspec.structs.replace(entry.meta, data=msgspec.structs.replace(entry.meta.data, ordinal=7))
    add(ns, put_record(entry.key, ns._core.writer.new_version(), lie))
    assert "data-mismatch" in codes(ns)


def test_temporary_files_of_dead_processes(ns: Namespace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temp = folder.parent / ".tmp" / f"999999999-{'0' * 16}.part"
    temp.write_bytes(b"half")
    assert codes(ns) == []
    assert ns.repair(dry_run=False).steps == []
    monkeypatch.setattr(LocalStore.clean_temp, "__defaults__", (-1.0,))  # as if it were a day old
    assert codes(ns) == ["temp-files"]
    assert [step.code for step in ns.repair().steps] == ["temp-files"]
    assert temp.exists()
    ns.repair(dry_run=False)
    assert not temp.exists()
    assert codes(ns) == []
