"""Every public operation that writes, killed before and after every store call it makes: the old state or the new one.

After each death a new process finds everything as it was or as it was to be, works at once, and carries out the same
operation again with the same end; nothing needs repair. Lanes are segments every day, and files too in the long proofs.
``tests/model/operations.py`` lists the operations.
"""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.client.blocking import Datastore
from swampstore.client.core import CoreStore
from tests.model.operations import IN_PARTS, SLOW, WRITES, Scene, view
from tests.workers.test_crash import crash_at
from tests.workers.world import Crash


def between(found: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether each entry is as it was or as it was to be."""
    entries = [
        (found["entries"].get(key), old["entries"].get(key), new["entries"].get(key)) for key in found["entries"]
    ]
    versions = {*old["report"], *new["report"]}
    return all(one in (before, after) for one, before, after in entries) and versions >= {*found["report"]}


def killed_everywhere(name: str, *, lanes: bool = False) -> None:
    act = WRITES[name]
    scene = Scene(lanes=lanes)
    old = view(scene.process())
    ns = scene.process()
    scene.store.calls.clear()
    act(ns)
    calls = len(scene.store.calls)
    assert scene.store.changes
    new = view(scene.process())
    for number in range(calls + 1):
        scene = Scene(lanes=lanes)
        ns = scene.process()
        scene.store.before = crash_at(number, Crash)
        if number < calls:
            with pytest.raises(Crash):
                act(ns)
        else:
            act(ns)  # killed after its last call, before anybody was told
        scene.store.before = lambda verb, called: None
        found = view(scene.process())
        assert found in (old, new) or (name in IN_PARTS and between(found, old, new)), (
            f"killed before call {number} of {calls}"
        )
        report = scene.process().doctor(guards=False)
        assert report.healthy, report.of("error")
        act(scene.process())
        assert view(scene.process()) == new, f"killed before call {number} of {calls}, and run again"
        scene.process().compact(full=True)
        assert view(scene.process()) == new


@pytest.mark.parametrize("name", [name for name in WRITES if name not in SLOW])
def test_killed_around_every_store_call(name: str) -> None:
    killed_everywhere(name)


@pytest.mark.prove
@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("name", WRITES)
def test_killed_around_every_store_call_with_and_without_lane_files(name: str, lanes: bool) -> None:
    if lanes or name in SLOW:
        killed_everywhere(name, lanes=lanes)


def test_killed_around_every_call_of_a_lane_file() -> None:
    """The one of the above that is tried every day."""
    killed_everywhere("put_many", lanes=True)


def test_a_write_in_two_steps_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above would say of an operation that is not whole."""
    monkeypatch.setitem(WRITES, "two puts", lambda ns: (ns.put("new/1", b"1"), ns.put("new/2", b"2")))
    for lanes in (False, True):
        with pytest.raises(AssertionError, match="killed before call"):
            killed_everywhere("two puts", lanes=lanes)


def test_a_namespace_killed_while_it_is_deleted() -> None:
    scene = Scene()
    scene.store.calls.clear()
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
