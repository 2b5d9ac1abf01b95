"""Two trees and one namespace: every row of the table end to end, directions, scope, cost."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from swampstore.client.core import CoreStore
from swampstore.env.aio import AioEnv
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import BadConfig, Misuse, StoreMissing
from swampstore.limits import PART_BYTES
from swampstore.values.deltas import Put
from swampstore.workers.sync import SyncOptions, sync
from tests.sync.machines import OLD, Machine, contents

Make = Callable[..., Machine]


def test_push_then_pull(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for number in range(25):
        a.write(f"d/{number}.txt", b"x" * number * 1000)
    os.chmod(a.tree / "d/7.txt", 0o755)
    report = a.sync()
    assert (report.pushed, report.appends, report.bytes_up) == (25, 1, 300_000)
    report = b.sync()
    assert (report.pulled, report.bytes_down, report.pushed) == (25, 300_000, 0)
    assert b.files() == a.files()
    pulled = os.stat(b.tree / "d/7.txt")
    assert pulled.st_mtime == OLD
    assert pulled.st_mode & 0o777 == 0o755


def test_edits_and_deletions_travel_both_ways(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for name in ("one", "two", "three/x", "three/y"):
        a.write(name, name)
    a.sync()
    b.sync()
    a.write("one", "edited on a", mtime=OLD + 5)
    b.write("two", "edited on b", mtime=OLD + 5)
    b.remove("three/x")
    b.remove("three/y")
    a.sync()
    report = b.sync()
    assert (report.pulled, report.pushed, report.deleted_remote) == (1, 1, 2)
    report = a.sync()
    assert (report.pulled, report.deleted_local) == (1, 2)
    assert a.files() == b.files() == {"one": b"edited on a", "two": b"edited on b"}
    assert not (a.tree / "three").exists(), "folders that a deletion leaves empty go too"


@pytest.mark.parametrize("newer", ["a", "b"])
def test_both_changed_keeps_both(machine: Make, newer: str) -> None:
    a, b = machine("a"), machine("b")
    a.write("p", "base")
    a.sync()
    b.sync()
    a.write("p", "from a", mtime=OLD + (20 if newer == "a" else 10))
    b.write("p", "from b", mtime=OLD + (20 if newer == "b" else 10))
    a.sync()
    report = b.sync()
    assert [(c.path, c.winner) for c in report.conflicts] == [("p", "remote" if newer == "a" else "local")]
    a.sync()
    assert a.files() == b.files()
    loser = report.conflicts[0].kept_as
    assert a.files() == {"p": f"from {newer}".encode(), loser: b"from b" if newer == "a" else b"from a"}
    assert a.sync().idle
    assert b.sync().idle


def test_both_new_and_equal_is_in_sync(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("p", "same")
    b.write("p", "same", mtime=OLD + 1)
    a.sync()
    report = b.sync()
    assert (report.pulled, report.pushed, report.conflicts) == (0, 0, [])
    assert b.sync().unchanged == 1


def test_a_change_survives_a_deletion(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("edited-by-a", "1")
    a.write("edited-by-b", "1")
    a.sync()
    b.sync()
    a.write("edited-by-a", "22")
    a.remove("edited-by-b")
    b.write("edited-by-b", "22")
    b.remove("edited-by-a")
    a.sync()
    report = b.sync()
    assert sorted(report.revived) == ["edited-by-a", "edited-by-b"]
    a.sync()
    assert a.files() == b.files() == {"edited-by-a": b"22", "edited-by-b": b"22"}


@pytest.mark.parametrize("compacted", [False, True])
def test_a_first_sync_does_not_speak_of_what_others_did_before(machine: Make, compacted: bool) -> None:
    a, b = machine("a"), machine("b")
    a.write("d/a", "1")
    a.sync()
    b.sync()
    b.remove("d/a")
    b.sync()
    a.write("d/a", "22")
    assert a.sync().revived == ["d/a"]
    if compacted:
        a.compact()
    for first in (machine("c").sync(), machine("d").sync(dry_run=True)):
        assert first.revived == []
        assert [change.action for change in first.changes] == ["pull"]
    assert b.sync().revived == ["d/a"]


def test_an_edit_that_keeps_size_time_and_inode_shows_when_the_file_is_touched(machine: Make) -> None:
    """What the guide says of it, and the way out that it names."""
    a = machine("a")
    path = a.write("p", "one")
    a.sync()
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, (OLD, OLD))
    assert a.sync().idle
    path.touch()
    assert a.sync().pushed == 1


def test_puts_that_met_unseen_are_written_beside(machine: Make) -> None:
    """Both machines look before either appends: the fold, not a sync, meets the two puts."""
    a, b = machine("a"), machine("b")
    b.write("p", "from b")
    pushed: list[str] = []

    def a_pushes_first(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name and not pushed:
            pushed.append(name)
            a.write("p", "from a")
            a.sync()

    b.sync(before=a_pushes_first)
    assert pushed
    reports = [one.sync() for one in (a, b, a, b)]
    kept = {conflict.kept_as for report in reports for conflict in report.conflicts}
    assert len(kept) == 1
    assert a.files() == b.files()
    assert sorted(a.files().values()) == [b"from a", b"from b"]
    for one in (a, b):
        one.compact()
        assert one.sync().idle
        assert one.sync().idle
    assert len(a.files()) == 2


def test_one_direction(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("from-a", "1")
    a.write("shared", "1")
    a.sync()
    b.write("from-b", "1")
    report = b.sync(push=False)
    assert (report.pulled, report.pushed) == (2, 0)
    assert a.sync().idle
    a.write("shared", "22", mtime=OLD + 3)
    a.write("later", "1")
    a.sync()
    report = b.sync(pull=False)
    assert (report.pulled, report.pushed) == (0, 1)
    b.write("shared", "333")
    report = b.sync(pull=False)
    assert [skip.path for skip in report.skipped] == ["shared"]
    report = b.sync()
    assert report.pulled == 2, "what an earlier one-way sync left is still known"
    assert b.files()["later"] == b"1"
    assert [conflict.path for conflict in report.conflicts] == ["shared"]
    with pytest.raises(Misuse):
        b.sync(pull=False, push=False)


def test_dry_run_changes_nothing(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("x", "1")
    report = a.sync(dry_run=True)
    assert [(change.path, change.action) for change in report.changes] == [("x", "push")]
    assert (report.pushed, report.dry_run) == (0, True)
    assert not (a.tree / ".swampstore").exists()
    assert a.last is not None
    assert set(a.last.counts) == {"list", "get"}
    a.sync()
    assert b.sync(dry_run=True).changes[0].action == "pull"
    assert b.files() == {}
    b.sync()
    b.remove("x")
    assert b.sync(dry_run=True).changes[0].action == "delete-remote"
    assert a.sync().idle
    assert b.sync().deleted_remote == 1


def test_prefix_and_directories_never_read_absence_as_deletion(machine: Make) -> None:
    a, b, c = machine("a"), machine("b"), machine("c")
    for key in ("keep/1", "keep/2", "other/1", "top", "keeper/1"):
        a.write(key, key)
    a.sync()
    b.sync(prefix="keep/")
    assert set(b.files()) == {"keep/1", "keep/2"}
    assert b.sync(prefix="keep/").idle
    c.sync(directories=("keep", "other"))
    assert set(c.files()) == {"keep/1", "keep/2", "other/1"}
    c.sync(directories=("keep",), prefix="keep/2")
    a.remove("other/1")
    a.remove("keep/1")
    a.sync()
    assert b.sync(prefix="keep/").deleted_local == 1
    report = b.sync()
    assert (report.pulled, report.pushed, report.deleted_remote) == (2, 0, 0)
    assert b.files() == a.files()
    c.sync()
    assert c.files() == a.files()


def test_scope_after_a_merge(machine: Make) -> None:
    """A scope whose mark is older than the rows still finds deletions that left no tombstone."""
    a, b = machine("a"), machine("b")
    for key in ("x/1", "x/2", "y/1"):
        a.write(key, key)
    a.sync()
    b.sync()
    b.sync(prefix="x/")
    a.remove("x/1")
    a.sync()
    a.compact()
    assert b.sync(prefix="x/").deleted_local == 1
    assert b.sync().idle
    assert b.files() == a.files()


def test_exclude(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for key in ("a.tmp", "d/b.tmp", "cache/x", "d/cache/y", "d/keep", "d/logs/1.log"):
        a.write(key, key)
    a.sync(exclude=("*.tmp", "cache/", "d/logs/*.log"))
    b.sync()
    assert set(b.files()) == {"d/keep"}
    b.write("c.tmp", "b has one")
    b.sync()
    a.sync(exclude=("*.tmp", "cache/"))
    assert "c.tmp" not in a.files()
    assert "d/logs/1.log" in (b.sync(), b.files())[1]
    with pytest.raises(BadConfig):
        a.sync(exclude=("!x",))


def test_large_and_empty_files(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("large", os.urandom(PART_BYTES + 12_345))
    a.write("middle", os.urandom(600_000))
    a.write("empty", b"")
    a.sync()
    report = b.sync()
    assert report.pulled == 3
    assert a.files() == b.files()


def test_labels_survive_an_edit(machine: Make) -> None:
    a = machine("a")
    run(a.namespace().append([Put(key="x", data=b"1", content_type="text/plain", tags={"type": "report"})]))
    a.sync()
    a.write("x", "22")
    a.sync()
    entry = run(a.namespace().get("x"))
    assert entry is not None
    assert (entry.content_type, entry.tags, entry.size) == ("text/plain", {"type": "report"}, 2)


def test_expired_entries_go(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = machine("a")
    namespace = a.namespace()
    run(namespace.append([Put(key="x", data=b"1", expires=namespace.place.clock.now_ms() + 10**7)]))
    assert a.sync().pulled == 1
    later = BlockingEnv().wall_ms() + 2 * 10**7
    monkeypatch.setattr(a.env, "wall_ms", lambda: later)
    monkeypatch.setattr(a.store._env, "wall_ms", lambda: later)
    assert a.sync().deleted_local == 1
    assert a.files() == {}


def test_deletions_that_left_no_trace(machine: Make) -> None:
    """A tombstone and its victim are gone from the manifest before the other machine looks again."""
    a, b = machine("a"), machine("b")
    a.write("stays", "1")
    a.write("goes", "1")
    a.sync()
    b.sync()
    a.remove("goes")
    a.sync()
    a.compact()
    assert b.sync().deleted_local == 1
    assert b.files() == {"stays": b"1"}


def test_another_namespace_under_the_same_name_deletes_nothing(machine: Make) -> None:
    a = machine("a")
    a.write("x", "1")
    a.sync()
    a.compact()
    a.sync()
    for name in list(a.store._objects):
        run(a.store.delete([name]))
    report = a.sync()
    assert report.reset
    assert (report.deleted_local, report.pushed) == (0, 1)
    assert a.files() == {"x": b"1"}


def test_a_missing_repository(machine: Make) -> None:
    a = machine("a")
    a.tree = a.tree / "no" / "where"
    with pytest.raises(StoreMissing):
        a.sync()


def test_by_the_asyncio_driver(machine: Make, tmp_path: Path) -> None:
    a = machine("a")
    a.write("d/x", "1" * 10_000)
    (tmp_path / "b").mkdir()

    async def both() -> None:
        core = CoreStore(a.store, AioEnv())
        await asyncio.gather(*(sync(core.namespace("ops"), tmp_path / name, SyncOptions()) for name in "ab"))
        await sync(core.namespace("ops"), tmp_path / "b", SyncOptions())
        await core.close()

    asyncio.run(both())
    assert contents(tmp_path / "b") == a.files()


def test_progress_is_told(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for number in range(30):
        a.write(f"{number}", "x" * 100)
    told: list[tuple[str, int, int, int]] = []

    def progress(*what: object) -> None:
        told.append(what)  # type: ignore[arg-type]

    run(sync(a.namespace(), a.tree, SyncOptions(), progress))
    run(sync(b.namespace(), b.tree, SyncOptions(), progress))
    assert ("push", 30, 30, 3000) in told
    assert ("pull", 30, 30, 3000) in told


def test_a_report_as_json(machine: Make) -> None:
    a = machine("a")
    a.write("x", "1")
    shown = json.loads(json.dumps(a.sync().to_dict()))
    assert (shown["pushed"], shown["bytes_up"], shown["changes"]) == (
        1,
        1,
        [{"path": "x", "action": "push", "size": 1}],
    )
