"""The blocking client: entries, atomic batches, bad input."""

from __future__ import annotations

import os
from typing import Any

import pytest

from swampstore import (
    BadConfig,
    BadKey,
    BadName,
    Datastore,
    Delete,
    Entry,
    Misuse,
    Namespace,
    NotFound,
    Put,
    SwampError,
    TooLarge,
)
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv
from swampstore.limits import INLINE_CONTENT_BYTES, SEGMENT_DELTAS
from tests.protocols.support import Recording, Stepped, every_order


def entry(ns: Namespace, key: str) -> Entry:
    found = ns.get(key)
    assert found is not None
    return found


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
    "a number for a position": (lambda ns: list(ns.audit("t").read(after=5)), Misuse),
    "a zero for one": (lambda ns: ns.audit("t").changes(after=0), Misuse),
    "bytes for one": (lambda ns: list(ns.audit("t").follow(after=b"x")), Misuse),
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
