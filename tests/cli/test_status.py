"""``swamp datastore status``: what it shows, what it costs, and what it refuses to pass over in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import swampstore
from swampstore.client.status import status_of
from swampstore.env.blocking import run
from tests.cli.conftest import Swamp
from tests.workers.world import World


def fill(store: Path, count: int = 30) -> None:
    with swampstore.open(f"file://{store}?lanes=off") as opened:
        namespace = opened.namespace("ops")
        namespace.put_many({f"k{number:03}": b"x" * 100 for number in range(count)})
        namespace.delete("k000")
        namespace.compact()
        namespace.put("late", b"1")


def test_one_namespace_is_shown_in_full(swamp: Swamp, store: Path) -> None:
    fill(store)
    shown = swamp("datastore", "status", "--namespace", "ops").out
    rows = {line[:13].strip(): line[13:].strip() for line in shown.splitlines()[2:]}
    assert rows["NAMESPACE"] == "ops"
    assert rows["entries"] == "29 (1 tombstone beside them)"
    assert rows["not folded"].startswith("1, the oldest since")
    assert rows["leader"] == "nobody"
    (one,) = swamp("datastore", "status", "--namespace", "ops", "--json").document["namespaces"]
    assert (one["entries"], one["records"], one["tombstones"]) == (29, 30, 1)
    assert one["manifest_bytes"] == one["shard_bytes"] > 0
    assert (one["log_depth"], one["log_segments"]) == (1, 3)
    assert one["log_bytes"] > 100
    assert one["writers"] == 1
    assert one["queues"] is None


def test_that_a_lane_has_ended_is_nothing_to_be_folded(swamp: Swamp, store: Path) -> None:
    with swampstore.open(f"file://{store}?lanes=on") as opened:
        opened.namespace("ops").put("k", b"1")
        opened.namespace("ops").compact()
    (one,) = swamp("datastore", "status", "--namespace", "ops", "--json").document["namespaces"]
    assert (one["log_depth"], one["log_segments"]) == (0, 1)


def test_queues_are_shown_when_asked_for(swamp: Swamp, store: Path) -> None:
    fill(store)
    assert "nobody has ever queued here" in swamp("datastore", "status", "--namespace", "ops", "--queues").out
    with swampstore.open(f"file://{store}?lanes=off") as opened:
        namespace = opened.namespace("ops")
        with namespace.lock("deploy"):
            (queue,) = swamp("datastore", "status", "--namespace", "ops", "--queues", "--json").document["namespaces"][
                0
            ]["queues"]
            assert (queue["queue"], queue["unfinished"]) == ("deploy", 1)
            shown = swamp("datastore", "status", "--namespace", "ops", "--queues").out.splitlines()
            assert shown[-1].split() == ["deploy", "1", "1", "0", "-"]


def test_set_aside_segments_are_named(swamp: Swamp, store: Path) -> None:
    fill(store, 3)
    (segment,) = [path for path in (store / "ops" / "log").rglob("*") if path.is_file() and path.name.endswith("3")]
    segment.chmod(0o600)
    segment.write_bytes(b"not a segment")
    swamp("datastore", "compact")
    shown = swamp("datastore", "status").out
    assert "1 broken segment set aside" in shown
    assert str(segment.relative_to(store)) in shown


def test_a_missing_namespace_is_said(swamp: Swamp, store: Path) -> None:
    fill(store)
    missing = swamp("datastore", "status", "--namespace", "osp", "--json")
    assert missing.code == 1
    assert missing.error["code"] == "not-found"


def test_a_damaged_root_does_not_hide_the_other_namespaces(swamp: Swamp, store: Path) -> None:
    fill(store, 3)
    for name in ("aaa", "zzz"):
        shutil.copytree(store / "ops", store / name)
    root = store / "aaa" / "root"
    body = root.read_bytes()
    root.chmod(0o600)
    root.write_bytes(body[:40] + bytes([body[40] ^ 1]) + body[41:])
    shown = swamp("datastore", "status")
    assert shown.code == 1
    rows = {line.split()[0]: line.split() for line in shown.out.splitlines()[3:]}
    assert list(rows) == ["aaa", "ops", "zzz"]
    assert rows["aaa"][1:] == ["-"] * 6 + ["corrupt-object"]
    assert rows["zzz"][1:3] == rows["ops"][1:3] == ["3", "1"]
    assert "aaa: " in shown.err
    assert "swamp datastore doctor --namespace aaa" in shown.err
    told = swamp("datastore", "status", "--json")
    assert told.code == 1
    assert [one["namespace"] for one in told.document["namespaces"]] == ["ops", "zzz"]
    assert [(one["namespace"], one["code"]) for one in told.document["failed"]] == [("aaa", "corrupt-object")]
    assert told.error["code"] == "corrupt-object"
    alone = swamp("datastore", "status", "--namespace", "aaa")
    assert (alone.code, "doctor" in alone.err) == (1, True)
    assert swamp("datastore", "status", "--namespace", "ops").code == 0


def test_polling_costs_two_requests() -> None:
    world = World()
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" for number in range(500)})
    process.compact()
    run(status_of(process.place, process.register))
    world.store.forget()
    found = run(status_of(process.place, process.register))
    assert len(world.store.calls) == 2
    assert found.entries == 500
