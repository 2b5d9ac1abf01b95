"""The blocking client over memory and a local directory: contents, atomicity, bad input, namespaces, closing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore import (
    BadConfig,
    BadKey,
    BadName,
    CorruptObject,
    Datastore,
    Delete,
    Entry,
    FileSource,
    Index,
    MissingObject,
    Misuse,
    Namespace,
    NotFound,
    Put,
    SwampError,
    TooLarge,
)
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.limits import INLINE_CONTENT_BYTES, MIB, PACKED_CONTENT_BYTES, PART_BYTES, SEGMENT_DELTAS
from swampstore.stores.base import Request
from swampstore.values.entry import Blob, External, Inline, Meta, Packed
from tests.protocols.support import Recording, Stepped, every_order


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Datastore]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"memory://{tmp_path.name}" if request.param == "memory" else str(tmp_path / "store")
    with swampstore.open(url, create=True) as opened:
        yield opened


@pytest.fixture
def ns(store: Datastore) -> Namespace:
    return store.namespace("ops")


@pytest.fixture
def counted() -> tuple[Recording, Namespace]:
    """A namespace over a recording store, proved already."""
    env = BlockingEnv()
    bare = Recording(env)
    namespace = Datastore(CoreStore(bare, env)).namespace("ns")
    namespace.put("warm-up", b"")
    bare.forget()
    return bare, namespace


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
        run(store._core.bare.put(name, changed, swampstore_create()))
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


def swampstore_create() -> Any:
    from swampstore.stores.base import Create

    return Create()


def test_contents_elsewhere_are_listed_and_their_error_has_its_place(ns: Namespace) -> None:
    away = Meta(size=3, at=External("x/y", "s3://other/place"))
    ns.append([Index(key="away", meta=away), Put(key="here", data=b"here")])
    with pytest.raises(MissingObject, match="s3://other/place"):
        ns.read("away")
    results = run(ns._core.read_entries([entry(ns, "away"), entry(ns, "here")]))
    assert isinstance(results[0], MissingObject)
    assert results[1] == b"here"


# --- entries ------------------------------------------------------------------------------------------------------------


def test_what_a_put_says_an_entry_shows(ns: Namespace) -> None:
    ack = ns.put("a/b", b"abc", content_type="text/plain", tags={"type": "report"}, expires=4_000_000_000_000)
    found = entry(ns, "a/b")
    assert found.version == ack.version
    shown = found.describe()
    assert {name: shown[name] for name in ("key", "size", "contentType", "tags", "expires")} == {
        "key": "a/b",
        "size": 3,
        "contentType": "text/plain",
        "tags": {"type": "report"},
        "expires": 4_000_000_000_000,
    }


def test_deletes_puts_and_mixed_batches(ns: Namespace) -> None:
    ns.put("a", b"1")
    ns.append([Put(key="b", data=b"2"), Delete(key="a"), Put(key="c", data=b"3", tags={"x": "y"})])
    assert [found.key for found in ns.list()] == ["b", "c"]
    ns.delete("nothing")
    ns.delete("b")
    with pytest.raises(NotFound):
        ns.read("b")
    assert ns.get("b") is None


def test_a_delete_of_one_version_spares_later_puts(ns: Namespace) -> None:
    old = ns.put("a", b"1").version
    ns.append([Delete(key="a", base=old)])
    assert ns.get("a") is None
    old = ns.put("a", b"2").version
    ns.put("a", b"3")
    ns.append([Delete(key="a", base=old)])
    assert ns.read("a") == b"3"


def test_later_items_of_a_batch_win(ns: Namespace) -> None:
    ns.append([Put(key="a", data=b"1"), Put(key="a", data=b"2")])
    assert ns.read("a") == b"2"


def test_get_many_is_of_one_snapshot(counted: tuple[Recording, Namespace]) -> None:
    bare, ns = counted
    ns.list()
    ns.put_many({"a": b"", "b": b""})
    bare.forget()
    found = ns.get_many(["b", "missing", "a", "a"])
    assert {key: value is not None for key, value in found.items()} == {"b": True, "missing": False, "a": True}
    assert bare.kinds() == ["list", "get", "get"]
    assert ns.get_many([]) == {}


def test_put_many_takes_puts_made_ready(ns: Namespace) -> None:
    ns.put_many({"a": Put(key="", data=b"1", tags={"t": "1"}), "b": b"2"})
    assert entry(ns, "a").tags == {"t": "1"}
    assert ns.read("b") == b"2"


def test_scans_lists_and_snapshots(ns: Namespace) -> None:
    ns.put_many({f"k/{n:03d}": b"" for n in range(50)} | {"other": b""})
    snapshot = ns.snapshot()
    ns.compact()
    ns.delete("k/000")
    assert [found.key for found in snapshot.scan("k/")] == [f"k/{n:03d}" for n in range(50)]
    assert len(list(ns.scan("k/"))) == 49
    page = ns.list("k/", start_after="k/010", limit=3)
    assert ([found.key for found in page], page.more, len(page)) == (["k/011", "k/012", "k/013"], True, 3)
    assert ns.list(delimiter="/").prefixes == ["k/"]
    assert [found.key for found in snapshot.list("k/", limit=1)] == ["k/000"]
    assert snapshot.get("k/000") is not None
    assert snapshot.get_many(["k/000", "x"])["x"] is None
    assert ns.snapshot().root_version > snapshot.root_version
    assert ns.status().records >= 50


# --- all or nothing -------------------------------------------------------------------------------------------------------


def test_a_batch_is_seen_whole_or_not_at_all_at_every_step() -> None:
    from swampstore.stores.memory import MemoryStore

    seen: set[int] = set()
    data = os.urandom(INLINE_CONTENT_BYTES + 1)

    def make() -> list[Any]:
        env = BlockingEnv()
        inner = MemoryStore(env)
        writer = CoreStore(Stepped(inner), env).namespace("ns")
        reader = CoreStore(Stepped(inner), env).namespace("ns")
        writer._proved = True

        async def write() -> None:
            await writer.append([Put(key=key, data=data) for key in ("a", "b", "c")])

        async def read() -> None:
            found = await reader.get_many(["a", "b", "c"])
            present = [one for one in found.values() if one is not None]
            seen.add(len(present))
            bodies = await reader.read_entries(present)
            assert all(body == data for body in bodies)  # contents are there before their entries

        return [write(), read()]

    assert every_order(make) > 15
    assert seen == {0, 3}


# --- bad input --------------------------------------------------------------------------------------------------------------


BAD_CALLS: dict[str, tuple[Any, type[SwampError]]] = {
    "an empty key": (lambda ns: ns.put("", b""), BadKey),
    "a key that climbs": (lambda ns: ns.put("a/../b", b""), BadKey),
    "a key with a NUL": (lambda ns: ns.put("a\0conflict\0b", b""), BadKey),
    "an internal key deleted": (lambda ns: ns.delete("\0lock\0x"), BadKey),
    "a key of bytes": (lambda ns: ns.put(b"a", b""), BadKey),
    "one bad key of many": (lambda ns: ns.put_many({"a": bytes(300_000), "/b": b""}), BadKey),
    "a bad key read": (lambda ns: ns.read("/"), BadKey),
    "a bad key got": (lambda ns: ns.get("a//b"), BadKey),
    "one bad key of many got": (lambda ns: ns.get_many(["a", ""]), BadKey),
    "contents of a number": (lambda ns: ns.put("a", 3), Misuse),
    "no contents": (lambda ns: ns.put("a", None), Misuse),
    "text that is no text": (lambda ns: ns.put("a", "\ud800"), Misuse),
    "tags of numbers": (lambda ns: ns.put("a", bytes(300_000), tags={"a": 1}), BadConfig),
    "tags too large": (lambda ns: ns.put("a", bytes(300_000), tags={"a": "x" * 20_000}), TooLarge),
    "a content type too large": (lambda ns: ns.put("a", b"", content_type="x" * 300), TooLarge),
    "a float time": (lambda ns: ns.put("a", b"", expires=1.5), Misuse),
    "a base that is none": (lambda ns: ns.append([Delete(key="a", base=b"x")]), Misuse),
    "nothing": (lambda ns: ns.put_many({}), Misuse),
    "no deltas": (lambda ns: ns.append([]), Misuse),
    "too many": (lambda ns: ns.put_many({str(n): b"" for n in range(SEGMENT_DELTAS + 1)}), TooLarge),
    "too much": (lambda ns: ns.put_many({str(n): bytes(4096) for n in range(2100)} | {"b": bytes(5000)}), TooLarge),
    "no delta": (lambda ns: ns.append(["a"]), Misuse),
}


@pytest.mark.parametrize(("call", "error"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_calls_are_typed_errors_and_send_nothing(
    counted: tuple[Recording, Namespace], call: Any, error: type
) -> None:
    bare, ns = counted
    with pytest.raises(error) as caught:
        call(ns)
    assert bare.calls == []
    assert caught.value.exit_code == 2
    assert [found.key for found in ns.list()] == ["warm-up"]


@pytest.mark.parametrize("name", ["", "a/b", ".x", "a b"])
def test_bad_namespaces(store: Datastore, name: str) -> None:
    with pytest.raises(BadName):
        store.namespace(name)


# --- namespaces -------------------------------------------------------------------------------------------------------------


def test_namespaces_are_found_and_foreign_folders_are_not(store: Datastore) -> None:
    assert store.namespaces() == []
    for name in ("b", "a", "a.b", "a-b", "a0", "z@+_"):
        store.namespace(name).put("k", b"")
    store.namespace("a").compact()
    bare = store._core.bare
    for name in ("notes.txt", "photos/2026/a.jpg", "a/readme.txt", "logs/log/x"):
        run(bare.put(name, b"mine", swampstore_create()))
    assert store.namespaces() == sorted(["b", "a", "a.b", "a-b", "a0", "z@+_"])


def everything(store: Datastore, prefix: str = "") -> list[str]:
    return [item.name for item in run(store._core.bare.list(prefix)).items if ".swamp" not in item.name]


def test_deleting_a_namespace_keeps_what_others_put_there(store: Datastore) -> None:
    ns, other = store.namespace("gone"), store.namespace("gone2")
    ns.put_many({f"k{n}": bytes(5000) for n in range(3)})
    ns.compact()
    ns.put("more", bytes(300_000))
    other.put("k", b"stays")
    run(store._core.bare.put("gone/photo.jpg", b"mine", swampstore_create()))
    before = everything(store)
    preview = store.delete_namespace("gone")
    assert preview.dry_run
    assert everything(store) == before
    removal = store.delete_namespace("gone", dry_run=False)
    assert (removal.objects, removal.bytes, removal.kept) == (preview.objects, preview.bytes, preview.kept)
    assert removal.kept == 1
    assert removal.objects == len(before) - len(everything(store))
    assert everything(store, "gone/") == ["gone/photo.jpg"]
    assert store.namespaces() == ["gone2"]
    assert other.read("k") == b"stays"


def test_a_namespace_can_be_used_again_after_it_was_deleted(store: Datastore) -> None:
    ns = store.namespace("again")
    for round_number in range(3):
        ns.put("a", b"%d" % round_number)
        ns.update("counter", lambda held: str(int(held or b"0") + 1).encode())
        if round_number:
            ns.compact()
        assert ns.read("a") == b"%d" % round_number
        assert ns.read("counter") == b"1"
        store.delete_namespace("again", dry_run=False)
        assert [found.key for found in ns.list()] == []


# --- opening and closing ----------------------------------------------------------------------------------------------------


def test_everything_is_misuse_after_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = swampstore.open("memory://closing")
    ns = store.namespace("ops")
    ns.put("a", b"1")
    store.close()
    store.close()  # twice is no error
    calls: list[Any] = [
        lambda: ns.put("a", b""),
        lambda: ns.put_many({"a": b""}),
        lambda: ns.delete("a"),
        lambda: ns.append([Delete(key="a")]),
        lambda: ns.get("a"),
        lambda: ns.get_many(["a"]),
        lambda: ns.read("a"),
        lambda: list(ns.read_chunks("a")),
        lambda: ns.list(),
        lambda: list(ns.scan()),
        lambda: ns.snapshot(),
        lambda: ns.compact(),
        lambda: ns.status(),
        lambda: ns.update("a", lambda held: b""),
        lambda: store.namespace("b"),
        lambda: store.namespaces(),
        lambda: store.delete_namespace("ops"),
    ]
    for call in calls:
        with pytest.raises(Misuse, match="closed"):
            call()
    with swampstore.open("memory://closing") as again:
        assert again.namespace("ops").read("a") == b"1"


def test_a_forked_child_is_told_to_open_again() -> None:
    env = BlockingEnv()
    core = CoreStore(Recording(env), env)
    ns = Datastore(core).namespace("ns")
    ns.put("a", b"1")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        told = 0
        for call in (lambda: ns.put("b", b""), lambda: ns.get("a"), lambda: Datastore(core).namespace("c")):
            try:
                call()
            except Misuse:
                told += 1
        Datastore(core).close()
        os.write(writing, b"%d" % told)
        os._exit(0)
    os.close(writing)
    try:
        assert os.read(reading, 10) == b"3"
    finally:
        os.close(reading)
        os.waitpid(child, 0)
    assert ns.put("b", b"").slot == 2


def test_a_one_shot_process_closes_its_lane() -> None:
    env = BlockingEnv()
    bare = Recording(env)
    core = CoreStore(bare, env, one_shot=True).namespace("ns")
    first = run(core.append([Put(key="a", data=b"")], last=False))
    last = run(core.append([Put(key="b", data=b"")]))
    assert (last.lane, last.slot) == (first.lane, 2)
    run(core.compact())
    root = run(core.register.read()).root
    assert root.closed == (first.lane,)
    assert run(core.append([Put(key="c", data=b"")])).lane != first.lane


def test_a_one_shot_append_looks_at_the_log_once_in_a_while_and_no_more() -> None:
    env = BlockingEnv()
    bare = Recording(env)
    core = CoreStore(bare, env, one_shot=True).namespace("ns")
    run(core.append([Put(key="a", data=b"")]))
    dice = iter([0.999, 1 / 64, 1 / 65, 0.5])
    env.random = lambda: next(dice)  # type: ignore[method-assign]
    looked = []
    for _ in range(4):
        bare.forget()
        run(core.append([Put(key="a", data=b"")]))
        looked.append("list" in bare.kinds())
    assert looked == [False, False, True, False]


def test_the_first_write_of_a_store_proves_it_and_later_ones_do_not() -> None:
    env = BlockingEnv()
    bare = Recording(env)
    core = CoreStore(bare, env)
    first = Datastore(core).namespace("a")
    first.put("k", b"")
    assert bare.kinds().count("create") == 3  # two of the proof, one append
    bare.forget()
    first.put("k", b"")
    assert bare.kinds() == ["create"]
    first.compact()
    bare.forget()
    other = Datastore(CoreStore(bare, env)).namespace("a")
    other.put("k", b"")
    assert bare.kinds() == ["get", "create"]  # the proof is kept in the root


def test_an_append_that_was_acknowledged_is_not_failed_by_helping(monkeypatch: pytest.MonkeyPatch) -> None:
    env = BlockingEnv()
    bare = Recording(env)
    ns = Datastore(CoreStore(bare, env)).namespace("ns")
    monkeypatch.setattr("swampstore.client.core.HELP_FOLD_SEGMENTS", 4)

    async def before(request: Request) -> None:
        if type(request).__name__ == "List":
            raise swampstore.StoreForbidden("may not list")

    bare.before = before
    for n in range(9):
        ns.put(f"k{n}", b"")
    bare.before = None
    assert len(ns.list()) == 9


def test_a_user_who_never_starts_a_compactor_has_a_bounded_log(monkeypatch: pytest.MonkeyPatch) -> None:
    env = BlockingEnv()
    bare = Recording(env)
    ns = Datastore(CoreStore(bare, env)).namespace("ns")
    monkeypatch.setattr("swampstore.client.core.HELP_FOLD_SEGMENTS", 16)
    for n in range(100):
        ns.put(f"k{n:03d}", b"")
    assert ns.status().log_depth < 2 * 16
    assert len(ns.list()) == 100
