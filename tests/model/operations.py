"""What can be done with a store, as a table: each public operation that writes, and each that only reads.

``WRITES`` are killed before and after every store call (``test_crash_points``), ``READS`` must write nothing, and what is
in neither has a test elsewhere, named in ``ELSEWHERE`` and, for commands, ``COMMANDS``. ``test_operations`` calls all of
them and fails for a public operation that none of them has met.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from swampstore import (
    DELETE,
    EMPTY,
    AlreadyExists,
    Delete,
    FileSource,
    Model,
    NotFound,
    Put,
    VersionConflict,
)
from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import run
from swampstore.stores.base import Answer, Outcome, Request, outcome
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import Wrapper, name_of, verb_of
from tests.model.test_model import ModelEnv

A = TypeVar("A")
DAY_MS = 24 * 3600 * 1000
MODEL = Model("crash", "one")
Act = Callable[[Namespace], Any]
CHANGES = {"create", "replace", "overwrite", "delete", "open_lane", "append_lane", "remove_lane"}
"""Calls that change something (``sync_lane`` changes nothing that anybody reads)."""


class Hooked(Wrapper):
    """A memory store that counts calls, those of lane files too, and lets a test do something before any of them."""

    def __init__(self, env: ModelEnv, *, lanes: bool) -> None:
        super().__init__(MemoryStore(env, lanes=lanes))
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda verb, name: None

    def _call(self, verb: str, name: str) -> None:
        self.before(verb, name)
        self.calls.append((verb, name))

    async def one(self, request: Request) -> Answer:
        self._call(verb_of(request), name_of(request))
        return await super().one(request)

    async def other(self, verb: str, names: tuple[str, ...], call: Callable[[], Awaitable[A]]) -> A:
        self._call(verb, " ".join(names))
        return await call()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return [await outcome(self, request) for request in requests]

    def names(self) -> list[str]:
        return [item.name for item in run(self.inner.list("", limit=1000)).items]

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The calls that changed something."""
        return [call for call in self.calls if call[0] in CHANGES]


class Scene:
    """One store with a history; :meth:`process` opens it as a process that knows nothing."""

    def __init__(self, *, lanes: bool = False) -> None:
        self.env = ModelEnv()
        self.store = Hooked(self.env, lanes=lanes)
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
        ns.append([Put(key="outputs/t/x-1.yaml", data=b"id: 1", modified=self.env.wall_ms() - 40 * DAY_MS)])
        ns.queue("doors", 2).set_capacity(2)
        self.left = ns.queue("left").acquire()
        self.left.__enter__()  # of somebody who is never heard of again
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
        "state": ns.read("run/1") if ns.get("run/1") else None,
        "stream": [record.data for record in ns.stream("run").read()],
        "report": [(one.lifecycle, item.read(one.id)) for one in versions],
        "renamed": [ns.data(MODEL, "renamed").read(one.id) for one in renamed],
        "audit": [record.data for record in ns.audit("topic").read()],
        "saved": [one.name for one in ns.saved()],
        "rules": (ns.retention().auto, ns.queue("doors").status().capacity, _said(ns)),
        "left": [row.ticket for row in ns.queue("left").status().tickets],
    }


def _said(ns: Namespace) -> dict[str, Any]:
    """What users have set (not what the compactor notes there for itself)."""
    return {name: value for name, value in ns.status().settings.items() if name in ("classes", "audit")}


def again(act: Act, *settled: type[Exception]) -> Act:
    """An operation that says, when it is run again, that it was done before."""

    def tolerant(ns: Namespace) -> None:
        with contextlib.suppress(*settled):
            act(ns)

    return tolerant


# --- what writes ------------------------------------------------------------------------------------------------------


def held_writes(ns: Namespace) -> None:
    with ns.lock("deploy") as held:
        held.put("locked", b"1")


def held_writes_many(ns: Namespace) -> None:
    with ns.lock("deploy") as held:
        held.check()
        held.put_many({"locked": b"1", "a": b"p" * 9_000})


def held_deletes(ns: Namespace) -> None:
    with ns.lock("deploy") as held:
        held.delete("a")


def admitted(ns: Namespace) -> None:
    with ns.queue("doors", 2).acquire(deadline=60) as place:
        place.progress()
        place.check()
        ns.put("inside", b"1")


def one_more(ns: Namespace) -> None:
    ns.update("n", lambda current: b"2")


def swapped(ns: Namespace) -> None:
    ns.update(["n", "a"], lambda held: {"n": b"3", "a": DELETE})


def if_version(ns: Namespace) -> None:
    entry = ns.get("a")
    assert entry is not None
    if ns.read("a") != b"3":
        ns.put("a", b"3", if_version=entry.version)


def fenced(ns: Namespace) -> None:
    """Append once: as a careful caller does who does not know whether the first try came through."""
    stream = ns.stream("run")
    records = stream.read()
    if records[-1].data != b"1":
        stream.append([b"1"], expected_tail=records[-1].position)


def batched(ns: Namespace) -> None:
    """A batch of records, of which one is large: all of them, or none."""
    stream = ns.stream("run")
    records = stream.read()
    if records[-1].data != b"4":
        stream.append([b"1", b"x" * 9_000, b"3", b"4"], expected_tail=records[-1].position)


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


def noted_many(ns: Namespace) -> None:
    """Written again by those who do not know, the same records stay the same."""
    topic = ns.audit("topic")
    made = [topic.record({"n": n}, ts=1_800_000_000_000 + n, record_id=f"mine-{n}") for n in (2, 3, 4)]
    topic.write_many(made)


WRITES: dict[str, Act] = {
    "put": lambda ns: ns.put("new", b"1"),
    "put a packed one": lambda ns: ns.put("new", b"p" * 9_000),
    "put a large one": lambda ns: ns.put("new", b"b" * 280_000),
    "put a file": lambda ns: ns.put("new", FileSource(__file__)),
    "put with labels": lambda ns: ns.put("new", b"1", content_type="text/plain", tags={"a": "b"}, ttl=10**6),
    "put runtime state": lambda ns: ns.put("run/1", b"s", record_class="ephemeral", ttl=10**6),
    "put_many": lambda ns: ns.put_many({"new/1": b"1", "new/2": b"p" * 9_000, "new/3": b"q" * 9_000}),
    "put if_absent": again(lambda ns: ns.put("new", b"1", if_absent=True), VersionConflict),
    "put if_version": if_version,
    "delete": lambda ns: ns.delete("a"),
    "append": lambda ns: ns.append([Put(key="new", data=b"1"), Delete(key="a")]),
    "update": one_more,
    "update of two keys": swapped,
    "lock": held_writes,
    "lock, many": held_writes_many,
    "lock, delete": held_deletes,
    "queue": admitted,
    "set_capacity": lambda ns: ns.queue("doors").set_capacity(3),
    "pass_over": lambda ns: ns.queue("left").pass_over(1),
    "stream append": fenced,
    "stream append of a batch": batched,
    "stream update": built,
    "data put": versioned,
    "data put with its ordinal": numbered,
    "data delete": again(lambda ns: ns.data(MODEL, "report").delete(2), NotFound),
    "data delete all": again(lambda ns: ns.data(MODEL, "report").delete(), NotFound),
    "data rename": again(lambda ns: ns.data(MODEL, "report").rename("renamed"), AlreadyExists, NotFound),
    "audit write": noted,
    "audit write_many": noted_many,
    "set_classes": lambda ns: ns.set_classes({"run/": "ephemeral"}),
    "set_audit_retention": lambda ns: ns.set_audit_retention({"*": 30}),
    "set_audit_format": lambda ns: ns.set_audit_format("parquet"),
    "set_retention": lambda ns: ns.set_retention(auto=True),
    "save": again(lambda ns: ns.save("now"), AlreadyExists),
    "delete_saved": again(lambda ns: ns.delete_saved("before"), NotFound),
    "restore": lambda ns: ns.restore("before", dry_run=False),
    "compact": lambda ns: ns.compact(full=False),
    "compact all": lambda ns: ns.compact(full=True),
    "gc": lambda ns: ns.gc(dry_run=False),
    "gc_runs": lambda ns: ns.gc_runs(dry_run=False),
    "prune": lambda ns: ns.prune(dry_run=False),
    "doctor, deep": lambda ns: ns.doctor(deep=True, guards=False),  # it pins what it reads
    "repair": lambda ns: ns.repair(dry_run=False, alone=True),
    "pinned snapshot": lambda ns: ns.snapshot(pin=True).close(),
}

SLOW = {"doctor, deep", "lock, delete", "put if_version"}
"""Tried in the long proofs only: they read much, or go the way of another."""
IN_PARTS = {"restore"}
"""These say that they append in batches, and that a second run does what is left: each entry is then old or new."""


# --- what only reads --------------------------------------------------------------------------------------------------


def _of_snapshot(ns: Namespace) -> None:
    with ns.snapshot() as held, ns.snapshot(saved="before") as saved:
        for one in (held, saved):
            one.get("a"), one.get_many(["a", "n"]), one.read("a"), list(one.read_chunks("a/b"))
            one.list("a/", limit=1), list(one.scan())


def _of_stream(ns: Namespace) -> None:
    stream = ns.stream("run")
    stream.tail(), stream.read(), list(stream.follow(seconds=0))


def _of_data(ns: Namespace) -> None:
    item = ns.data(MODEL, "report")
    item.get(), item.get(1), item.read(), list(item.read_chunks()), item.versions(), ns.search_data()


def _of_audit(ns: Namespace) -> None:
    topic = ns.audit("topic")
    topic.record({"n": 9}), list(topic.read()), topic.changes(), topic.head(), list(topic.follow(seconds=0))
    ns.audit_topics(), ns.audit_files("topic"), ns.spool_status()


READS: dict[str, Act] = {
    "entries": lambda ns: (
        ns.get("a"), ns.get_many(["a"]), ns.read("a"), list(ns.read_chunks("a/b")), ns.list("a/"), list(ns.scan())
    ),
    "snapshot": _of_snapshot,
    "stream": _of_stream,
    "data": _of_data,
    "audit": _of_audit,
    "audit_sql": lambda ns: ns.audit_sql("select count(*) from audit"),
    "queues": lambda ns: (ns.queues(), ns.queue("doors").status()),
    "saved": lambda ns: ns.saved(),
    "status": lambda ns: (ns.status(queues=True), ns.retention()),
    "doctor": lambda ns: ns.doctor(guards=False),
    "previews": lambda ns: (ns.gc(), ns.gc_runs(), ns.prune(), ns.restore("before"), ns.repair()),
}  # fmt: skip


# --- what is tried elsewhere ------------------------------------------------------------------------------------------

ELSEWHERE = {
    "Trees.sync": "tests/sync/test_crashes.py::test_killed_before_every_store_call",
    "Trees.hydrate": "tests/sync/test_crashes.py::test_contents_on_demand_killed_before_every_store_call",
    "Trees.open_file": "tests/sync/test_crashes.py::test_contents_on_demand_killed_before_every_store_call",
    "Datastore.delete_namespace": "tests/model/test_crash_points.py::test_a_namespace_killed_while_it_is_deleted",
    "Datastore.namespaces": "tests/client/test_lives.py::test_namespaces_are_found_and_foreign_folders_are_not",
    "Datastore.close": "tests/client/test_lives.py::test_everything_is_misuse_after_close",
    "Namespace.resolve": "tests/coordination/test_undecided.py::test_an_undecided_create_is_resolved_for_good",
    "Audits.drain_spool": "tests/spool/test_folder.py::test_killed_at_any_step_of_delivery_nothing_is_lost_or_doubled",
}
"""``Class.method``: the test that kills it, or that shows what else it does."""

COMMANDS_THAT_READ = {
    "audit_export", "audit_query", "audit_sql", "audit_tail", "audit_topics", "bench_read", "data_get", "data_list",
    "data_search", "data_versions", "lock_status", "namespace_list", "object_get", "object_list", "queue_list",
    "queue_show", "snapshot_list", "status", "stream_read", "stream_tail", "ui",
}  # fmt: skip
COMMANDS = {
    "audit_append": "AuditTopic.write_many",
    "audit_drain": "Audits.drain_spool",
    "audit_format": "Audits.set_audit_format",
    "bench_append": "tests/cli/test_bench.py::test_nothing_is_left_behind_however_it_ends",
    "bench_burst": "tests/cli/test_bench.py::test_nothing_is_left_behind_however_it_ends",
    "bench_fold": "tests/cli/test_bench.py::test_nothing_is_left_behind_however_it_ends",
    "bench_rmw": "tests/cli/test_bench.py::test_nothing_is_left_behind_however_it_ends",
    "bench_sync": "tests/cli/test_bench.py::test_nothing_is_left_behind_however_it_ends",
    "compact": "Namespace.compact",
    "data_delete": "DataItem.delete",
    "data_gc": "Upkeep.gc",
    "data_prune": "Upkeep.prune",
    "data_put": "DataItem.put",
    "data_rename": "DataItem.rename",
    "doctor": "Care.repair",
    "export": "tests/export/test_faults.py::test_killed_anywhere_and_run_again",
    "hydrate": "Trees.hydrate",
    "import_legacy": "tests/legacy/test_import_again.py::test_interrupted_at_every_call_then_run_again",
    "lock_release": "Queue.pass_over",
    "migrate": "tests/migrate/test_migrate.py::test_killed_anywhere_and_run_again",
    "namespace_delete": "Datastore.delete_namespace",
    "object_delete": "Namespace.delete",
    "object_put": "Namespace.put",
    "object_update": "Namespace.update",
    "poll": "tests/cli/test_poll.py::test_a_second_one_stands_by_and_takes_over_from_a_killed_one",
    "queue_capacity": "Queue.set_capacity",
    "run_gc": "Upkeep.gc_runs",
    "setup_filesystem": "tests/cli/test_config_file.py::test_killed_at_any_step_the_file_is_the_old_or_the_new_one",
    "setup_s3": "tests/cli/test_config_file.py::test_killed_at_any_step_the_file_is_the_old_or_the_new_one",
    "snapshot_create": "Namespace.save",
    "snapshot_delete": "Namespace.delete_saved",
    "snapshot_restore": "Namespace.restore",
    "stream_append": "Stream.append",
    "sync": "Trees.sync",
}
"""What each command that writes consists of, or the test that kills it."""
