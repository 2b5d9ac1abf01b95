"""Namespaces come and go, stores open and close, processes fork, help and leave."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore import (
    Datastore,
    Delete,
    Misuse,
    Put,
)
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.base import Create, Request
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import CountingStore
from tests.protocols.support import Recording

# --- namespaces -------------------------------------------------------------------------------------------------------------


def test_namespaces_are_found_and_foreign_folders_are_not(store: Datastore) -> None:
    assert store.namespaces() == []
    for name in ("b", "a", "a.b", "a-b", "a0", "z@+_"):
        store.namespace(name).put("k", b"")
    store.namespace("a").compact()
    bare = store._core.bare
    for name in ("notes.txt", "photos/2026/a.jpg", "a/readme.txt", "logs/log/x"):
        run(bare.put(name, b"mine", Create()))
    assert store.namespaces() == sorted(["b", "a", "a.b", "a-b", "a0", "z@+_"])


def everything(store: Datastore, prefix: str = "") -> list[str]:
    return [item.name for item in run(store._core.bare.list(prefix)).items if ".swamp" not in item.name]


def test_deleting_a_namespace_keeps_what_others_put_there(store: Datastore) -> None:
    ns, other = store.namespace("gone"), store.namespace("gone2")
    ns.put_many({f"k{n}": bytes(5000) for n in range(3)})
    ns.compact()
    ns.put("more", bytes(300_000))
    other.put("k", b"stays")
    run(store._core.bare.put("gone/photo.jpg", b"mine", Create()))
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


def test_who_helps_leaves_the_fold_to_a_leader_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    env = BlockingEnv()
    bare = MemoryStore(env)
    ns, other = (CoreStore(bare, env).namespace("ns") for _ in range(2))
    monkeypatch.setattr("swampstore.client.core.HELP_FOLD_SEGMENTS", 4)
    run(ns.put(Put(key="a", data=b"")))
    run(other.compactor().round(stay=True, insist=True))
    led = run(other.register.read()).root
    for number in range(20):
        run(ns.put(Put(key=f"k{number}", data=b"")))
    assert run(ns.register.read()).root == led
    assert led.leader is not None


def test_who_looks_after_the_log_on_leaving_reads_none_of_it() -> None:
    class Lucky(BlockingEnv):
        def random(self) -> float:
            return 0.0

    counted = CountingStore(MemoryStore())
    core = CoreStore(counted, Lucky())
    space = core.namespace("ops")
    for number in range(5):
        run(space.put(Put(key=f"k{number}", data=b"x")))
    counted.reset()
    run(space.leave())
    assert counted.requests == {"list": 2, "get": 1}  # the second list: has a root been lost?


def test_helping_to_fold_is_waited_for_no_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit write is done when its record is in the store, were that to go away in the fold behind it."""
    ended = threading.Event()
    space = CoreStore(MemoryStore(), BlockingEnv()).namespace("ops")

    async def hangs(**_: object) -> None:
        ended.wait(30)

    monkeypatch.setattr(space, "_help", hangs)
    run(space.help(listed=True, most_s=0.05))  # without the bound this would wait for ever
    assert not ended.is_set()
    ended.set()
