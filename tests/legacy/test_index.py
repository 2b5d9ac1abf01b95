"""Finding and reading an index in a store, whole trees of the generator included."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.errors import Conflict, CorruptObject, MissingObject, UnknownFormat
from swampstore.stores.memory import MemoryStore
from swampstore.testing.legacy_nasty import CASES
from swampstore.testing.legacy_tree import Made, Shape, main, make_index, make_tree
from swampstore.workers.legacy import index as index_module
from swampstore.workers.legacy.entries import LegacyEntry
from swampstore.workers.legacy.index import Flavour, batches, detect, entries, load, moved
from swampstore.workers.legacy.listing import listed, namespaces
from swampstore.workers.legacy.rules import Drop, Place, Rules, locations, versions
from tests.legacy.helpers import an_entry, drain, flat, index_bytes, put, stored, tree_objects

META = json.dumps({"version": 2, "partitions": ["a", "b"], "commitSeq": 5}).encode()


def v2(**more: bytes) -> dict[str, bytes]:
    parts = {"a": index_bytes({"files/a": an_entry(1)}), "b": index_bytes({"files/b": an_entry(2)})}
    return {"_index/_meta.json": META} | {f"_index/{name}.json": body for name, body in (parts | more).items()}


def sizes(store: MemoryStore, place: Place | None = None) -> dict[str, int]:
    found = run(detect(store, place or Place()))
    return {rel: entry.size for rel, entry in run(load(store, found)).items()}


def test_a_monolith() -> None:
    store = stored({"team/ops/.datastore-index.json": index_bytes({"files/a": an_entry(1)})})
    found = run(detect(store, Place("team/", "ops")))
    assert (found.flavour, found.commit_seq, len(found.parts)) == (Flavour.V1, -1, 1)
    assert [entry.rel for entry in drain(entries(store, found))] == ["files/a"]
    assert run(detect(store, Place("team/"))).flavour == Flavour.NONE


def test_no_index_at_all() -> None:
    found = run(detect(stored({"files/a": b""}), Place()))
    assert found.flavour == Flavour.NONE
    assert flat(batches(stored({}), found)) == []


def test_partitions_are_united_and_the_monolith_beside_them_is_stale() -> None:
    stray = index_bytes({"files/c": an_entry(3)})
    store = stored(v2(c=stray) | {".datastore-index.json": index_bytes({"gone": an_entry()}), "_index/x/y.json": b"?"})
    found = run(detect(store, Place()))
    assert (found.flavour, found.commit_seq, found.unlisted, found.missing) == (Flavour.V2, 5, 1, ())
    assert sizes(store) == {"files/a": 1, "files/b": 2, "files/c": 3}


def test_a_meta_object_of_version_1_leaves_it_to_the_monolith() -> None:
    meta = json.dumps({"version": 1}).encode()
    store = stored(v2() | {".datastore-index.json": index_bytes({"files/m": an_entry(9)})})
    put(store, "_index/_meta.json", meta)
    assert sizes(store) == {"files/m": 9}
    with pytest.raises(MissingObject):
        run(detect(stored({"_index/_meta.json": meta}), Place()))


def test_a_listed_partition_that_is_missing_stops_unless_accepted() -> None:
    objects = v2()
    del objects["_index/b.json"]
    store = stored(objects)
    found = run(detect(store, Place()))
    assert found.missing == ("_index/b.json",)
    with pytest.raises(MissingObject, match=r"_index/b\.json"):
        flat(batches(store, found))
    assert [entry.rel for entry in flat(batches(store, found, partial=True))] == ["files/a"]


def test_the_newer_of_two_entries_counts_wherever_it_lies() -> None:
    newest = index_bytes({"files/x": an_entry(7, "2026-06-03T00:00:00.000Z")})
    older = index_bytes({"files/x": an_entry(8, "2026-06-02T00:00:00.000Z")})
    assert sizes(stored(v2(a=newest, b=older)))["files/x"] == 7
    assert sizes(stored(v2(a=older, b=newest)))["files/x"] == 7


@pytest.mark.parametrize(
    ("meta", "error"),
    [
        (b"", CorruptObject),
        (b"{", CorruptObject),
        (b"[]", CorruptObject),
        (b'{"version":"2"}', CorruptObject),
        (b'{"version":2,"partitions":"a"}', CorruptObject),
        (b'{"version":2,"partitions":["../a"]}', CorruptObject),
        (b'{"version":2,"partitions":[""]}', CorruptObject),
        (b'{"version":2,"partitions":["\xff"]}', CorruptObject),
        (b'{"version":3,"partitions":[]}', UnknownFormat),
    ],
)
def test_a_meta_object_that_cannot_be_read_stops(meta: bytes, error: type[Exception]) -> None:
    store = stored(v2() | {".datastore-index.json": index_bytes({"gone": an_entry()})})
    put(store, "_index/_meta.json", meta)
    with pytest.raises(error):
        run(detect(store, Place()))


def test_a_broken_partition_is_named() -> None:
    store = stored(v2(b=index_bytes({"files/b": an_entry()})[:-3]))
    with pytest.raises(CorruptObject) as caught:
        flat(batches(store, run(detect(store, Place()))))
    assert caught.value.name == "_index/b.json"


@pytest.mark.parametrize("limits", [{}, {"CHUNK_BYTES": 1000, "PARTITION_WHOLE_BYTES": 500}])
@pytest.mark.parametrize("change", ["rewritten", "deleted"])
def test_an_index_that_changes_while_it_is_read_is_a_conflict(
    limits: dict[str, int], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(index_module, name, value)
    body = index_bytes({f"files/{at}": an_entry(at) for at in range(100)})
    store = stored({".datastore-index.json": body})
    found = run(detect(store, Place()))
    if change == "rewritten":
        put(store, ".datastore-index.json", body)
    else:
        run(store.delete([".datastore-index.json"]))
    with pytest.raises(Conflict):
        flat(batches(store, found))


def test_chunks_give_the_same_entries_as_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored({".datastore-index.json": index_bytes({f"files/{at}": an_entry(at) for at in range(500)})})
    found = run(detect(store, Place()))
    whole = flat(batches(store, found))
    monkeypatch.setattr(index_module, "CHUNK_BYTES", 999)
    monkeypatch.setattr(index_module, "PARTITION_WHOLE_BYTES", 0)
    cut = drain(batches(store, found))
    assert len(cut) > 20, "it was not read in chunks"
    assert [entry for batch in cut for entry in batch] == whole
    assert len(whole) == 500


def test_what_moved_is_named() -> None:
    store = stored(v2())
    found = run(detect(store, Place()))
    assert run(moved(store, found)) == []
    put(store, "_index/a.json", index_bytes({}))
    put(store, "_index/new.json", index_bytes({}))
    assert run(moved(store, found)) == ["_index/a.json", "_index/new.json"]
    put(store, "_index/_meta.json", META.replace(b"5", b"6"))
    assert "_index/_meta.json" in run(moved(store, found))


def test_what_moved_of_a_monolith_is_named() -> None:
    store = stored({".datastore-index.json": index_bytes({})})
    found = run(detect(store, Place()))
    assert run(moved(store, found)) == []
    put(store, ".datastore-index.json", index_bytes({}))
    assert run(moved(store, found)) == [".datastore-index.json"]


# --- whole trees of the generator ------------------------------------------------------------------------------------


def expected_entries(made: Made) -> dict[str, tuple[int, str | None]]:
    return {rel: (entry["size"], entry.get("sha256")) for rel, entry in made.entries.items()}


def found_entries(found: dict[str, LegacyEntry]) -> dict[str, tuple[int, str | None]]:
    return {rel: (entry.size, entry.sha256.hex() if entry.sha256 else None) for rel, entry in found.items()}


@pytest.mark.parametrize("index", ["v1", "v2"])
@pytest.mark.parametrize("namespace", ["", "pipeline"])
@pytest.mark.parametrize("nasty", [frozenset(), frozenset(CASES)], ids=["plain", "nasty"])
def test_made_trees_are_read_as_they_were_made(
    tmp_path: Path, index: str, namespace: str, nasty: frozenset[str]
) -> None:
    made = make_tree(tmp_path, Shape(namespace=namespace, index=index, nasty=nasty, compact=bool(nasty)))
    store, place = stored(tree_objects(tmp_path)), Place("", namespace)
    held = run(detect(store, place))
    assert {Path(name).stem for name in held.missing} == made.missing
    assert held.unlisted == len(made.unlisted)
    found = run(load(store, held, partial=bool(made.missing)))
    assert found_entries(found) == expected_entries(made)

    rules = Rules(place, run(namespaces(store, place)))
    dropped = {rel for rel in found if isinstance(rules.classify(rel), Drop)}
    assert dropped == made.not_data & found.keys()
    root = run(load(store, run(detect(store, place.root)))) if namespace else {}
    check_objects(tree_objects(tmp_path), place, found, root.keys(), made, dropped)


def check_objects(
    objects: dict[str, bytes], place: Place, found: dict[str, LegacyEntry], root: object, made: Made, dropped: set[str]
) -> None:
    """Every entry's bytes lie where the rules say, or it is dangling as made."""
    dangling, at_root = set(), set()
    for rel, entry in found.items():
        if rel in dropped:
            continue
        names = [name for name in locations(place, rel, root_lists=rel in root) if name in objects]
        if not names:
            dangling.add(rel)
            continue
        if names[0] != place.base + rel:
            at_root.add(rel)
        body = objects[names[0]]
        assert len(body) == entry.size
        assert entry.sha256 in (None, hashlib.sha256(body).digest())
    assert dangling == made.dangling & found.keys()
    assert at_root == made.at_root & found.keys()


@pytest.mark.parametrize("namespace", ["", "pipeline"])
def test_a_listing_stands_in_for_an_index(tmp_path: Path, namespace: str) -> None:
    shape = Shape(namespace=namespace, index="none", nasty=frozenset({"other-namespaces", "not-data"}))
    made = make_tree(tmp_path, shape)
    store, place = stored(tree_objects(tmp_path)), Place("", namespace)
    others = run(namespaces(store, place))
    assert others == {"neighbour", "zz-last"} | ({namespace} if namespace else set())
    rules = Rules(place, others)
    kept = {entry.rel: entry.size for entry in flat(listed(store, place, others)) if not rules.dropped(entry.rel)}
    assert kept == {rel: entry["size"] for rel, entry in made.entries.items() if rel not in made.not_data}


def test_listing_steps_over_other_namespaces() -> None:
    many = {f"other/files/{at:05}": b"" for at in range(5000)}
    own = {"a": b"", "files/x": b"1", "other/.namespace.json": b"{}", "z/y": b""}
    store = stored(many | own)
    calls: list[str] = []
    original = store.list

    async def counted(prefix: str, *, start_after: str = "", limit: int = 1000) -> object:
        calls.append(start_after)
        return await original(prefix, start_after=start_after, limit=limit)

    store.list = counted  # type: ignore[method-assign]
    assert run(namespaces(store, Place())) == {"other"}
    assert len(calls) <= 4
    calls.clear()
    assert [entry.rel for entry in flat(listed(store, Place(), {"other"}))] == ["a", "files/x", "z/y"]
    assert len(calls) <= 2


def test_folders_are_found_whatever_lies_between_them() -> None:
    objects = {f"files/{at:04}": b"" for at in range(300)} | {f"top-{at:04}": b"" for at in range(300)}
    objects |= {f"{name}/.namespace.json": b"{}" for name in ("aa", "files2", "files-", "zz", "\U0010ffff")}
    found = run(namespaces(stored({f"team/{name}": body for name, body in objects.items()}), Place("team/")))
    assert found == {"aa", "files2", "files-", "zz", "\U0010ffff"}


def test_a_link_for_latest_and_numeric_names(tmp_path: Path) -> None:
    made = make_tree(tmp_path, Shape(models=1, index="none", nasty=frozenset({"link-latest", "not-a-version"})))
    links = [path for path in tmp_path.rglob("latest") if path.is_symlink()]
    assert len(links) == 1
    assert (links[0] / "raw").exists()
    held = versions(tree_objects(tmp_path))
    assert {name.name for name in held} >= {"207333"}
    assert all(numbers == [1, 2, 3] for numbers in held.values())
    assert any("/77/raw" in rel for rel in made.entries)


@pytest.mark.parametrize("shape", [Shape(), Shape(compact=True), Shape(index="v2"), Shape(namespace="ns")])
def test_the_index_alone_is_a_real_index(tmp_path: Path, shape: Shape) -> None:
    make_index(tmp_path, 5000, shape)
    store = stored(tree_objects(tmp_path))
    found = run(load(store, run(detect(store, Place("", shape.namespace)))))
    assert len(found) == 5000
    assert sum(entry.sha256 is None for entry in found.values()) == 500


def test_the_generator_repeats_itself_and_has_a_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [main([str(tmp_path / name), "--index", "v2", "--namespace", "ops"]) for name in ("a", "b")]
    assert tree_objects(tmp_path / "a") == tree_objects(tmp_path / "b")
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == said[0]
    with pytest.raises(ValueError, match="no-such"):
        main([str(tmp_path / "c"), "--nasty", "no-such"])
