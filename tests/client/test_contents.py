"""Contents over memory and a directory: every size, streamed, and checked on every read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swampstore import (
    CorruptObject,
    Datastore,
    Entry,
    FileSource,
    Index,
    MissingObject,
    Misuse,
    Namespace,
    Put,
)
from swampstore.env.blocking import run
from swampstore.limits import INLINE_CONTENT_BYTES, MIB, PACKED_CONTENT_BYTES, PART_BYTES
from swampstore.stores.base import Create
from swampstore.values.entry import Blob, External, Inline, Meta, Packed


def entry(ns: Namespace, key: str) -> Entry:
    found = ns.get(key)
    assert found is not None
    return found


# --- contents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "where"),
    [
        (0, Inline),
        (1, Inline),
        (INLINE_CONTENT_BYTES, Inline),
        (INLINE_CONTENT_BYTES + 1, Blob),  # alone in its append: nobody to share a pack with
        (PACKED_CONTENT_BYTES, Blob),
        (PACKED_CONTENT_BYTES + 1, Blob),
        (PART_BYTES + 5, Blob),
    ],
)
def test_contents_of_every_size(ns: Namespace, size: int, where: type) -> None:
    data = os.urandom(size)
    ns.put("k", data)
    found = entry(ns, "k")
    assert isinstance(found.meta.at, where)
    assert (found.size, len(found.sha256)) == (size, 64)
    assert ns.read("k") == data
    assert b"".join(ns.read_chunks("k")) == data


def test_small_contents_written_together_share_a_pack(ns: Namespace) -> None:
    items = {f"k{n}": os.urandom(INLINE_CONTENT_BYTES + n + 1) for n in range(10)} | {
        "tiny": b"t",
        "big": os.urandom(300_000),
    }
    ns.put_many(items)
    packed = [entry(ns, f"k{n}").meta.at for n in range(10)]
    assert all(isinstance(at, Packed) for at in packed)
    assert len({at.unique for at in packed if isinstance(at, Packed)}) == 1
    assert isinstance(entry(ns, "tiny").meta.at, Inline)
    assert isinstance(entry(ns, "big").meta.at, Blob)
    assert {key: ns.read(key) for key in items} == items
    bodies = run(ns._core.read_entries([entry(ns, key) for key in items]))
    assert list(bodies) == list(items.values())


def test_a_large_file_is_streamed_in_and_out(ns: Namespace, tmp_path: Path) -> None:
    path = tmp_path / "large"
    part = os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(17):
            file.write(part)
    ns.put("large", FileSource(path))
    found = entry(ns, "large")
    assert isinstance(found.meta.at, Blob)
    assert found.size == 17 * MIB
    chunks = [len(chunk) for chunk in ns.read_chunks("large")]
    assert chunks == [PART_BYTES, MIB]
    assert ns.read("large") == path.read_bytes()


def test_a_file_that_changes_while_it_is_read_is_refused(ns: Namespace, tmp_path: Path) -> None:
    for change in (b"longer than before", b""):
        path = tmp_path / "file"
        path.write_bytes(b"twelve bytes")
        source = FileSource(path)
        path.write_bytes(change)
        with pytest.raises(Misuse):
            ns.put("k", source)
        assert ns.get("k") is None


def test_text_and_other_bytes(ns: Namespace) -> None:
    ns.put_many({"a": "é", "b": bytearray(b"b"), "c": memoryview(b"xcx")[1:2]})
    assert [ns.read(key) for key in "abc"] == ["é".encode(), b"b", b"c"]


def bodies_of(store: Datastore, kind: str, tmp_path: Path) -> list[tuple[str, bytes]]:
    bare = store._core.bare
    items = run(bare.list(f"ops/{kind}/")).items
    return [(item.name, run(bare.get(item.name)).body) for item in items]  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["blob", "pack"])
@pytest.mark.parametrize("damage", ["changed", "cut", "longer", "gone"])
def test_contents_are_checked_on_every_read_and_the_object_is_named(
    store: Datastore, ns: Namespace, tmp_path: Path, kind: str, damage: str
) -> None:
    size = 5000
    ns.put_many({f"k{n}": bytes([n]) * size for n in range(1 if kind == "blob" else 2)})
    ((name, body),) = bodies_of(store, kind, tmp_path)
    run(store._core.bare.delete([name]))
    changed = {"changed": b"X" + body[1:], "cut": body[: size - 1], "longer": body + b"X"}.get(damage)
    if changed is not None:
        run(store._core.bare.put(name, changed, Create()))
    if damage == "longer" and kind == "pack":
        assert ns.read("k0") == bytes(size)  # the part of this key is what it was
        return
    error = MissingObject if damage == "gone" else CorruptObject
    with pytest.raises(error) as caught:
        ns.read("k0")
    assert caught.value.name == name
    with pytest.raises(error):
        list(ns.read_chunks("k0"))
    (result,) = run(ns._core.read_entries([entry(ns, "k0")]))
    assert isinstance(result, error)
    assert result.name == name


def test_contents_elsewhere_are_listed_and_their_error_has_its_place(ns: Namespace) -> None:
    away = Meta(size=3, at=External("x/y", "s3://other/place"))
    ns.append([Index(key="away", meta=away), Put(key="here", data=b"here")])
    with pytest.raises(MissingObject, match="s3://other/place"):
        ns.read("away")
    results = run(ns._core.read_entries([entry(ns, "away"), entry(ns, "here")]))
    assert isinstance(results[0], MissingObject)
    assert results[1] == b"here"
