"""Every public operation that writes, killed before every store call it makes: the old state or the new one, no repair.

After each death a new process finds everything as it was or as it was to be, works at once, and carries out the same
operation again with the same end. A list says which operations are tried here and where the others are; a new one that is
in neither fails the last test.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import swampstore
from swampstore import DELETE, EMPTY, Delete, Model, Put
from swampstore.client import aio, aio_shared, audit_aio, care_aio, data_aio, trees_aio, upkeep_aio
from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.errors import AlreadyExists, NotFound, VersionConflict
from tests.model.test_model import ModelEnv
from tests.workers.test_crash import crash_at
from tests.workers.world import Crash, HookedStore

MODEL = Model("crash", "one")
Act = Callable[[Namespace], Any]


class Scene:
    """One store with a history; :meth:`process` opens it as a process that knows nothing."""

    def __init__(self) -> None:
        self.env = ModelEnv()
        self.store = HookedStore(self.env)
        ns = self.process()
        ns.put_many({"a": b"1", "a/b": b"p" * 9_000, "b": b"b" * 280_000})
        ns.stream("run").append([b"0"])
        ns.data(MODEL, "report").put(b"v1", lifetime="1h")
        ns.data(MODEL, "report").put(b"v2")
        ns.audit("topic").write({"n": 1})
        ns.compact(full=True)
        ns.save("before")
        ns.put("a", b"2")
        ns.delete("b")
        ns.put("a/c", b"soon gone", ttl=60)
        ns.update("n", lambda current: b"1")
        ns.queue("doors", 2).set_capacity(2)
        self.env.advance(7_200)
        ns.data(MODEL, "report").put(b"v3")

    def process(self) -> Namespace:
        self.env.advance(2)
        ns = Datastore(CoreStore(self.store, self.env)).namespace("ns")
        ns._core._proved = True  # the probe is tested elsewhere
        return ns


def view(ns: Namespace) -> dict[str, Any]:
    """Everything that a user can see."""
    item = ns.data(MODEL, "report")
    versions = item.versions()
    renamed = ns.data(MODEL, "renamed").versions()
    return {
        "entries": {entry.key: ns.read(entry.key) for entry in ns.list() if not entry.key.startswith("data/")},
        "stream": [record.data for record in ns.stream("run").read()],
        "report": [(one.lifecycle, item.read(one.id)) for one in versions],
        "renamed": [ns.data(MODEL, "renamed").read(one.id) for one in renamed],
        "audit": [record.data for record in ns.audit("topic").read()],
        "saved": [one.name for one in ns.saved()],
        "rules": (ns.retention().auto, ns.queue("doors").status().capacity),
    }


def again(act: Act, *settled: type[Exception]) -> Act:
    """An operation that says, when it is run again, that it was done before."""

    def tolerant(ns: Namespace) -> None:
        with contextlib.suppress(*settled):
            act(ns)

    return tolerant


def held_writes(ns: Namespace) -> None:
    with ns.lock("deploy") as held:
        held.put("locked", b"1")


def admitted(ns: Namespace) -> None:
    with ns.queue("doors", 2).acquire(deadline=60):
        ns.put("inside", b"1")


def one_more(ns: Namespace) -> None:
    ns.update("n", lambda current: b"2")


def swapped(ns: Namespace) -> None:
    ns.update(["n", "a"], lambda held: {"n": b"3", "a": DELETE})


def fenced(ns: Namespace) -> None:
    """Append once: as a careful caller does who does not know whether the first try came through."""
    stream = ns.stream("run")
    records = stream.read()
    if records[-1].data != b"1":
        stream.append([b"1"], expected_tail=records[-1].position)


def built(ns: Namespace) -> None:
    ns.stream("run").update(lambda state: [b"1"] if state.records(after=EMPTY)[-1].data != b"1" else None)


def versioned(ns: Namespace) -> None:
    item = ns.data(MODEL, "report")
    if item.read() != b"v4":
        item.put(b"v4")


def numbered(ns: Namespace) -> None:
    item = ns.data(MODEL, "report")
    if item.read() != b"v4":
        item.put(b"v4", ordinal=True)


def noted(ns: Namespace) -> None:
    topic = ns.audit("topic")
    if {"n": 2} not in [record.data for record in topic.read()]:
        topic.write({"n": 2})


OPERATIONS: dict[str, Act] = {
    "put": lambda ns: ns.put("new", b"1"),
    "put a packed one": lambda ns: ns.put("new", b"p" * 9_000),
    "put a large one": lambda ns: ns.put("new", b"b" * 280_000),
    "put_many": lambda ns: ns.put_many({"new/1": b"1", "new/2": b"p" * 9_000, "new/3": b"q" * 9_000}),
    "put if_absent": again(lambda ns: ns.put("new", b"1", if_absent=True), VersionConflict),
    "delete": lambda ns: ns.delete("a"),
    "append": lambda ns: ns.append([Put(key="new", data=b"1"), Delete(key="a")]),
    "update": one_more,
    "update of two keys": swapped,
    "lock": held_writes,
    "queue": admitted,
    "set_capacity": lambda ns: ns.queue("doors").set_capacity(3),
    "stream append": fenced,
    "stream update": built,
    "data put": versioned,
    "data put with its ordinal": numbered,
    "data delete": again(lambda ns: ns.data(MODEL, "report").delete(1), NotFound),
    "data rename": again(lambda ns: ns.data(MODEL, "report").rename("renamed"), AlreadyExists, NotFound),
    "audit write": noted,
    "set_classes": lambda ns: ns.set_classes({"run/": "ephemeral"}),
    "set_audit_retention": lambda ns: ns.set_audit_retention({"*": 30}),
    "set_retention": lambda ns: ns.set_retention(auto=True),
    "save": again(lambda ns: ns.save("now"), AlreadyExists),
    "delete_saved": again(lambda ns: ns.delete_saved("before"), NotFound),
    "restore": lambda ns: ns.restore("before", dry_run=False),
    "compact": lambda ns: ns.compact(full=False),
    "compact all": lambda ns: ns.compact(full=True),
    "gc": lambda ns: ns.gc(dry_run=False),
    "gc_runs": lambda ns: ns.gc_runs(dry_run=False),
    "prune": lambda ns: ns.prune(dry_run=False),
    "repair": lambda ns: ns.repair(dry_run=False, alone=True),
    "pinned snapshot": lambda ns: ns.snapshot(pin=True).close(),
}


IN_PARTS = {"restore"}
"""These say that they append in batches, and that a second run does what is left: each entry is then old or new."""


def between(found: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether each entry is as it was or as it was to be."""
    entries = [
        (found["entries"].get(key), old["entries"].get(key), new["entries"].get(key)) for key in found["entries"]
    ]
    versions = {*old["report"], *new["report"]}
    return all(one in (before, after) for one, before, after in entries) and versions >= {*found["report"]}


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_before_every_store_call(name: str) -> None:
    act = OPERATIONS[name]
    scene = Scene()
    old = view(scene.process())
    ns = scene.process()
    scene.store.forget()
    act(ns)
    calls = len(scene.store.calls)
    new = view(scene.process())
    assert calls > 0
    met: set[str] = set()
    for number in range(calls):
        scene = Scene()
        ns = scene.process()
        scene.store.before = crash_at(number, Crash)
        with pytest.raises(Crash):
            act(ns)
        scene.store.before = lambda verb, called: None
        found = view(scene.process())
        assert found in (old, new) or (name in IN_PARTS and between(found, old, new)), (
            f"killed before call {number} of {calls}"
        )
        met.add("new" if found == new else "old")
        report = scene.process().doctor(guards=False)
        assert report.healthy, report.of("error")
        act(scene.process())
        assert view(scene.process()) == new, f"killed before call {number} of {calls}, and run again"
        scene.process().compact(full=True)
        assert view(scene.process()) == new
    assert met


def test_a_write_in_two_steps_is_found() -> None:
    """What the test above would say of an operation that is not whole."""
    OPERATIONS["two puts"] = lambda ns: (ns.put("new/1", b"1"), ns.put("new/2", b"2"))
    try:
        with pytest.raises(AssertionError, match="killed before call"):
            test_killed_before_every_store_call("two puts")
    finally:
        del OPERATIONS["two puts"]


ELSEWHERE = {
    "sync": "tests/sync/test_crashes.py",
    "hydrate": "tests/sync/test_hydrate.py",
    "open_file": "tests/sync/test_hydrate.py",
    "delete_namespace": "test_a_namespace_killed_while_it_is_deleted",
    "pass_over": "tests/coordination/test_queue_remote.py",
}
HERE = {
    "put", "put_many", "delete", "append", "update", "set_capacity", "rename", "write", "write_many", "set_classes",
    "set_audit_retention", "set_retention", "save", "delete_saved", "restore", "compact", "gc", "gc_runs", "prune", "repair",
    "held_lock", "snapshot",
}  # fmt: skip
READ_ONLY = {
    "namespaces", "close", "queues", "resolve", "get", "get_many", "read", "read_chunks", "list", "scan", "saved", "status",
    "doctor", "retention", "versions", "tail", "head", "records", "check", "progress", "changes", "open_async", "follow", "search_data",
}  # fmt: skip


def test_a_namespace_killed_while_it_is_deleted() -> None:
    scene = Scene()
    scene.store.forget()
    scene.process()._core.owner.namespace("ns")
    store = Datastore(CoreStore(scene.store, scene.env))
    store.delete_namespace("ns", dry_run=False)
    calls = len(scene.store.calls)
    assert scene.store.names() == []
    for number in range(calls):
        scene = Scene()
        scene.store.before = crash_at(number, Crash)
        with pytest.raises(Crash):
            Datastore(CoreStore(scene.store, scene.env)).delete_namespace("ns", dry_run=False)
        scene.store.before = lambda verb, called: None
        Datastore(CoreStore(scene.store, scene.env)).delete_namespace("ns", dry_run=False)
        assert scene.store.names() == []
        scene.process().put("a", b"1")
        assert scene.process().read("a") == b"1"


def test_every_public_operation_is_in_a_list() -> None:
    public: set[str] = set()
    for module in (aio, aio_shared, audit_aio, care_aio, data_aio, trees_aio, upkeep_aio):
        for _, owner in inspect.getmembers(module, inspect.isclass):
            if owner.__module__ == module.__name__:
                public |= {
                    name for name, one in vars(owner).items() if inspect.iscoroutinefunction(inspect.unwrap(one))
                }
    public = {name for name in public if not name.startswith("_")}
    assert public - HERE - READ_ONLY - ELSEWHERE.keys() == set()
    assert not HERE & READ_ONLY
    assert swampstore.__all__
