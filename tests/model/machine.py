"""The namespace as a dict: a hypothesis state machine that does what users do, and a model that says what must be there.

Two clients share one store: whatever one has had acknowledged, the other reads. Each may be opened anew at any step, and
any step may be followed by a compaction or by days that pass.

Invariants (checked after every step): contents, lists with prefix and delimiter, streams, versions of data, saved
snapshots and held snapshots are those of the model.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from swampstore import DELETE, EMPTY, SKIP, FenceConflict, Model, NotFound, Put, SnapshotExpired, VersionConflict
from swampstore.client.blocking import Namespace, Snapshot
from swampstore.limits import PIN_TTL_MS

LARGE = {"p": b"p" * 9_000, "b": b"b" * 280_000}
"""One that is packed, one that lies alone."""
NAMES = st.sampled_from(["a", "a/b", "a/c", "a-b", "b/b", "b/c/d", "é", "z/🐊"])
BODIES = st.one_of(st.binary(max_size=20), st.sampled_from(["p", "b"]).map(lambda kind: LARGE[kind]))
STREAMS = st.sampled_from(["run-1", "run-2"])
DATA = st.sampled_from(["report", "log"])
WHO = st.integers(0, 1)
MODEL = Model("model", "one")


class Machine(RuleBasedStateMachine):
    """Subclasses say how to open the store: :meth:`opened`."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[Namespace] = []
        self.keys: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.streams: dict[str, list[bytes]] = {"run-1": [], "run-2": []}
        self.tails: dict[str, list[str]] = {"run-1": [EMPTY], "run-2": [EMPTY]}
        self.data: dict[str, list[tuple[str, bytes]]] = {"report": [], "log": []}
        self.ordinals: dict[str, int] = {}
        self.audit: list[int] = []
        self.state: tuple[bytes, float] = b"", -1.0
        """What lies at ``run/1``, and when it was put there."""
        self.saved: dict[str, dict[str, bytes]] = {}
        self.waited = 0.0
        self.looked: dict[int, float] = {}
        """What had been waited for in all when a held snapshot was last looked at, which keeps it."""

    def opened(self, who: int) -> Namespace:
        """A client that knows nothing."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let time pass; nothing where the clock is real."""

    @initialize()
    def open_all(self) -> None:
        self.clients = [self.opened(0), self.opened(1)]

    # --- entries --------------------------------------------------------------------------------------------------

    @rule(
        who=WHO, key=NAMES, data=BODIES, tags=st.dictionaries(st.sampled_from("tu"), st.sampled_from("12"), max_size=1)
    )
    def put(self, who: int, key: str, data: bytes, tags: dict[str, str]) -> None:
        self._settle_order(who)
        self.clients[who].put(key, data, tags=tags)
        self.keys[key] = (data, tags)

    def _settle_order(self, who: int) -> None:
        """Blind writes of two clients within a second may end in either order: reading first puts this one behind."""
        self.clients[who].list(limit=1)
        for key in self.keys:
            self.clients[who].get(key)

    @rule(who=WHO, items=st.dictionaries(NAMES, BODIES, min_size=1, max_size=4))
    def put_many(self, who: int, items: dict[str, bytes]) -> None:
        self._settle_order(who)
        self.clients[who].put_many(items)
        self.keys.update({key: (data, {}) for key, data in items.items()})

    @rule(who=WHO, key=NAMES)
    def delete(self, who: int, key: str) -> None:
        self._settle_order(who)
        self.clients[who].delete(key)
        self.keys.pop(key, None)

    @rule(who=WHO, key=NAMES, choice=st.sampled_from(["append", "delete", "skip"]))
    def update(self, who: int, key: str, choice: str) -> None:
        def decide(current: bytes | None) -> Any:
            assert current == self._body(key)
            return {"append": (current or b"")[:50] + b"+", "delete": DELETE, "skip": SKIP}[choice]

        self.clients[who].update(key, decide)
        if choice == "append":
            self.keys[key] = ((self._body(key) or b"")[:50] + b"+", {})
        elif choice == "delete":
            self.keys.pop(key, None)

    @rule(who=WHO, keys=st.lists(NAMES, min_size=2, max_size=3, unique=True))
    def rotate(self, who: int, keys: list[str]) -> None:
        """An update of several keys: all or none."""
        turned = [*keys[1:], keys[0]]

        def decide(current: dict[str, bytes | None]) -> dict[str, Any]:
            assert current == {key: self._body(key) for key in keys}
            moved = {to: current[key] for key, to in zip(keys, turned, strict=True)}
            return {key: DELETE if body is None else body for key, body in moved.items()}

        self.clients[who].update(keys, decide)
        after = {to: self._body(key) for key, to in zip(keys, turned, strict=True)}
        for key, body in after.items():
            if body is None:
                self.keys.pop(key, None)
            else:
                self.keys[key] = (body, {})

    @rule(who=WHO, key=NAMES, data=BODIES, stale=st.booleans())
    def put_if_version(self, who: int, key: str, data: bytes, stale: bool) -> None:
        entry = self.clients[who].get(key)
        version = entry.version if entry is not None and not stale else b"\1" * 24
        try:
            self.clients[who].put(key, data, if_version=version)
        except VersionConflict:
            assert stale or entry is None
        else:
            assert entry is not None
            assert not stale
            self.keys[key] = (data, {})

    @rule(who=WHO, key=NAMES, data=BODIES)
    def put_if_absent(self, who: int, key: str, data: bytes) -> None:
        try:
            self.clients[who].put(key, data, if_absent=True)
        except VersionConflict:
            assert key in self.keys
        else:
            assert key not in self.keys
            self.keys[key] = (data, {})

    @rule(who=WHO, key=NAMES, data=BODIES, other=NAMES)
    def put_locked(self, who: int, key: str, data: bytes, other: str) -> None:
        with self.clients[who].lock("deploy") as lock:
            lock.append([Put(key=key, data=data, tags={"t": "lock"})])
            if other != key:
                lock.delete(other)
        self.keys[key] = (data, {"t": "lock"})
        if other != key:
            self.keys.pop(other, None)

    # --- streams --------------------------------------------------------------------------------------------------

    @rule(who=WHO, name=STREAMS, records=st.lists(st.binary(max_size=9), min_size=1, max_size=3), how=st.integers(0, 2))
    def append(self, who: int, name: str, records: list[bytes], how: int) -> None:
        """Unfenced, at the right tail, or at one that may be old."""
        tails = self.tails[name]
        expected = None if how == 0 else tails[-1] if how == 1 else tails[len(tails) // 2]
        if expected not in (None, tails[-1]):
            with pytest.raises(FenceConflict) as caught:
                self.clients[who].stream(name).append(records, expected_tail=expected)
            missed = self.streams[name][tails.index(str(expected)) :]
            assert caught.value.current == tails[-1]
            assert [record.data for record in caught.value.missed or ()] == missed
            return
        ack = self.clients[who].stream(name).append(records, expected_tail=expected)
        self.streams[name] += records
        tails += ack.positions

    @rule(who=WHO, name=STREAMS, records=st.lists(st.binary(max_size=9), min_size=1, max_size=3))
    def build(self, who: int, name: str, records: list[bytes]) -> None:
        """An append of what was decided after looking at the whole stream."""

        def decide(state: Any) -> list[bytes]:
            assert [record.data for record in state.records(after=EMPTY)] == self.streams[name]
            return records

        ack = self.clients[who].stream(name).update(decide)
        assert ack is not None
        self.streams[name] += records
        self.tails[name] += ack.positions

    # --- audit, runtime state ------------------------------------------------------------------------------------

    @rule(who=WHO, count=st.integers(1, 3))
    def write_records(self, who: int, count: int) -> None:
        made = [{"n": len(self.audit) + number} for number in range(count)]
        self.clients[who].audit("topic").write_many(made)
        self.audit += [record["n"] for record in made]

    @rule(who=WHO, form=st.sampled_from(["blocks", "parquet"]))
    def choose_format(self, who: int, form: str) -> None:
        self.clients[who].set_audit_format(form)

    @rule(who=WHO, data=st.binary(max_size=9))
    def put_state(self, who: int, data: bytes) -> None:
        """Of a key of its own, that lives longer than any example."""
        self._settle_order(who)
        self.clients[who].get("run/1")
        self.clients[who].put("run/1", data, record_class="ephemeral", ttl=29 * 86_400)
        self.state = data, self.waited

    @rule(who=WHO, what=st.sampled_from(["gc", "gc_runs", "prune"]))
    def tidy(self, who: int, what: str) -> None:
        """Nothing here has expired, is superseded or belongs to a run: whatever goes, nobody misses it."""
        getattr(self.clients[who], what)(dry_run=False)

    @precondition(lambda self: self.saved)
    @rule(who=WHO)
    def forget_saved(self, who: int) -> None:
        name = max(self.saved)
        self.clients[who].delete_saved(name)
        del self.saved[name]

    # --- data ------------------------------------------------------------------------------------------------------

    @rule(who=WHO, name=DATA, data=BODIES, ordinal=st.booleans())
    def put_version(self, who: int, name: str, data: bytes, ordinal: bool) -> None:
        self._settle_order(who)
        ack = self.clients[who].data(MODEL, name).put(data, ordinal=ordinal)
        self.data[name].append((ack.id, data))
        if ack.ordinal is not None:
            self.ordinals[ack.id] = ack.ordinal

    @rule(who=WHO, name=DATA, at=st.integers(0, 20))
    def delete_version(self, who: int, name: str, at: int) -> None:
        if self.data[name]:
            gone, _ = self.data[name].pop(at % len(self.data[name]))
            self.clients[who].data(MODEL, name).delete(gone)

    # --- snapshots, upkeep -----------------------------------------------------------------------------------------

    @rule(target=held, who=WHO)
    def hold(self, who: int) -> tuple[Snapshot, dict[str, bytes]]:
        snapshot = self.clients[who].snapshot(pin=True)
        self.looked[id(snapshot)] = self.waited
        return snapshot, self._bodies()

    @rule(one=held)
    def look_again(self, one: tuple[Snapshot, dict[str, bytes]]) -> None:
        snapshot, bodies = one
        try:
            found = {entry.key: snapshot.read(entry.key) for entry in snapshot.scan() if not _is_apart(entry.key)}
        except SnapshotExpired:
            assert (self.waited - self.looked[id(snapshot)]) * 1000 >= PIN_TTL_MS
            return
        self.looked[id(snapshot)] = self.waited
        assert found == bodies

    @precondition(lambda self: len(self.saved) < 3)
    @rule(who=WHO)
    def save(self, who: int) -> None:
        name = f"s{len(self.saved)}"
        try:
            self.clients[who].save(name)
        except NotFound:  # there is no namespace before its first write
            assert not self.keys
            return
        self.saved[name] = self._bodies()

    @precondition(lambda self: self.saved)
    @rule(who=WHO, at=st.integers(0, 2))
    def restore(self, who: int, at: int) -> None:
        name = sorted(self.saved)[at % len(self.saved)]
        self._settle_order(who)
        self.clients[who].restore(name, dry_run=False, prefix="a/")
        then = {key: body for key, body in self.saved[name].items() if key.startswith("a/")}
        tags = {key: entry.tags for key in then if (entry := self.clients[who].get(key))}
        self.keys = {key: value for key, value in self.keys.items() if not key.startswith("a/")}
        self.keys |= {key: (body, tags.get(key, {})) for key, body in then.items()}

    @rule(who=WHO, full=st.booleans())
    def compact(self, who: int, full: bool) -> None:
        self.clients[who].compact(full=full)

    @rule(seconds=st.sampled_from([1, 40, 700, 4_000, 90_000]))
    def wait(self, seconds: float) -> None:
        self.waited += seconds
        self.pass_time(seconds)

    @rule(who=WHO)
    def reopen(self, who: int) -> None:
        self.clients[who] = self.opened(who)

    @rule(who=WHO)
    def examine(self, who: int) -> None:
        report = self.clients[who].doctor(deep=True, guards=False)
        assert report.healthy, report.of("error")

    # --- what must hold ---------------------------------------------------------------------------------------------

    def _body(self, key: str) -> bytes | None:
        return self.keys[key][0] if key in self.keys else None

    def _bodies(self) -> dict[str, bytes]:
        return {key: body for key, (body, _) in self.keys.items()}

    @invariant()
    def entries_are_there(self) -> None:
        for ns in self.clients:
            listed = [entry for entry in ns.list() if not _is_apart(entry.key)]
            assert [entry.key for entry in listed] == sorted(self.keys, key=str.encode)
            assert {entry.key: (ns.read(entry.key), entry.tags) for entry in listed} == self.keys
            assert {entry.key for entry in ns.list("a/")} == {key for key in self.keys if key.startswith("a/")}
            folders = {key.partition("/")[0] + "/" for key in self.keys if "/" in key}
            assert set(ns.list(delimiter="/").prefixes) - {"data/", "run/"} == folders

    @invariant()
    def streams_are_there(self) -> None:
        for ns in self.clients:
            for name, records in self.streams.items():
                assert [(record.position, record.data) for record in ns.stream(name).read()] == list(
                    zip(self.tails[name][1:], records, strict=True)
                )
                assert ns.stream(name).tail() == self.tails[name][-1]

    @invariant()
    def records_are_there(self) -> None:
        for ns in self.clients:
            assert sorted(record.data["n"] for record in ns.audit("topic").read()) == self.audit

    @invariant()
    def state_is_there(self) -> None:
        data, put = self.state
        if put >= 0 and self.waited - put < 28 * 86_400:
            for ns in self.clients:
                assert ns.read("run/1") == data

    @invariant()
    def versions_are_there(self) -> None:
        for ns in self.clients:
            for name, versions in self.data.items():
                item = ns.data(MODEL, name)
                found = item.versions()
                assert [one.id for one in found] == [one for one, _ in reversed(versions)]
                assert [item.read(one.id) for one in found] == [data for _, data in reversed(versions)]
                for one in found:
                    if one.ordinal is not None:
                        assert self.ordinals.setdefault(one.id, one.ordinal) == one.ordinal
                numbers = [one.ordinal for one in found if one.ordinal is not None]
                assert numbers == sorted(numbers, reverse=True)
                assert len(set(numbers)) == len(numbers)

    @invariant()
    def snapshots_are_there(self) -> None:
        for name, bodies in self.saved.items():
            then = self.clients[0].snapshot(saved=name)
            assert {entry.key: then.read(entry.key) for entry in then.scan() if not _is_apart(entry.key)} == bodies


def _is_apart(key: str) -> bool:
    return key.startswith(("data/", "run/"))
