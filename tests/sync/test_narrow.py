"""Looking at less than the whole tree: pulls by what changed, scopes, named paths, and what stays in the namespace."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import StoreMissing
from swampstore.values.deltas import Delete, Put
from swampstore.workers.sync import SyncOptions, SyncReport, session, sync
from swampstore.workers.sync.lazy import SMALL_BYTES, Lazy
from swampstore.workers.sync.options import STATE_FOLDER
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.tree import Found
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]


OPTIONS: tuple[dict[str, Any], ...] = ({"push": False}, {}, {"pull": False}, {"push": False})


class Later(BlockingEnv):
    """A minute later."""

    def wall_ms(self) -> int:
        return super().wall_ms() + 62_000


def at(machine: Machine, *paths: str, **options: object) -> SyncReport:
    """A sync that looks at ``paths`` alone."""
    options_ = SyncOptions(**options)  # type: ignore[arg-type]
    return run(sync(machine.namespace(), machine.tree, options_, paths=paths))


@pytest.fixture
def no_walk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def walked(*_: object) -> None:
            raise AssertionError("the tree was walked")

        monkeypatch.setattr(Scan, "files", walked)

    return forbid


def watch_walks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes that are walked from now on."""
    walked: list[str] = []
    files = Scan.files

    def noted(self: Scan, prefix: str) -> Iterator[tuple[str, Found]]:
        walked.append(prefix)
        return files(self, prefix)

    monkeypatch.setattr(Scan, "files", noted)
    return walked


def two_alike(machine: Make, files: int = 300) -> tuple[Machine, Machine]:
    a, b = machine("a"), machine("b")
    for number in range(files):
        a.write(f"d/{number % 7}/{number:04}", f"{number}")
    a.sync()
    b.sync()
    return a, b


# --- a pull looks where the namespace changed ------------------------------------------------------------------------


def test_a_pull_does_not_walk_and_sees_every_kind_of_change(machine: Make, no_walk: Callable[[], None]) -> None:
    a, b = two_alike(machine)
    a.write("d/0/0007", "changed", mtime=OLD + 9)
    a.write("new/x", "new")
    a.remove("d/1/0008")
    a.sync()
    no_walk()
    report = b.sync(push=False)
    assert (report.pulled, report.deleted_local, report.skipped) == (2, 1, [])
    assert b.requests == 2 + 1
    assert a.files() == b.files()
    assert b.sync(push=False).idle
    assert b.requests == 2


def test_a_pull_sees_a_local_edit_of_a_path_that_changed(machine: Make) -> None:
    a, b = two_alike(machine)
    for key in ("d/0/0000", "d/1/0001", "d/2/0002"):
        a.write(key, "theirs", mtime=OLD + 9)
    a.remove("d/3/0003")
    a.sync()
    b.write("d/0/0000", "mine", mtime=OLD + 5)  # edited on both sides
    b.remove("d/1/0001")  # deleted here
    b.write("d/2/0002", "theirs", mtime=OLD + 5)  # the same edit
    b.write("d/3/0003", "mine", mtime=OLD + 5)  # deleted there
    report = b.sync(push=False)
    assert {skip.path for skip in report.skipped} == {"d/0/0000"}
    files = b.files()
    assert (files["d/0/0000"], files["d/1/0001"], files["d/3/0003"]) == (b"mine", b"theirs", b"mine")
    report = b.sync()
    assert {conflict.path for conflict in report.conflicts} == {"d/0/0000"}
    a.sync()
    assert a.files() == b.files()


def test_a_pull_removes_what_has_expired(machine: Make, no_walk: Callable[[], None]) -> None:
    _, b = two_alike(machine)
    soon = b.env.wall_ms() + 60_000
    run(b.namespace().append([Put(key="soon", data=b"x", expires=soon)]))
    b.sync()
    assert "soon" in b.files()
    no_walk()
    later = Later()
    b.env = b.store._env = later
    report = b.sync(push=False)
    assert ("soon" in b.files(), report.deleted_local) == (False, 1)
    assert b.sync(push=False).idle


def test_a_large_or_first_pull_walks_instead(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = two_alike(machine)
    walked = watch_walks(monkeypatch)
    b.sync(push=False)
    assert walked == []
    machine("c").sync(push=False)
    assert walked == [""]
    monkeypatch.setattr(session, "_FEW_POINTS", 5)
    for number in range(6):
        a.write(f"more/{number}", "x")
    a.sync()
    walked.clear()
    assert b.sync(push=False).pulled == 6
    assert walked == [""]


# --- named paths ------------------------------------------------------------------------------------------------------


def test_a_sync_of_named_paths_looks_at_them_and_at_what_changed_remotely(
    machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two_alike(machine)
    a.write("elsewhere/a", "a")
    a.write("d/0/0007", "theirs", mtime=OLD + 9)
    a.sync()
    b.write("d/1/0001", "mine", mtime=OLD + 9)
    b.write("d/2/0002", "not named", mtime=OLD + 9)
    b.write("made/deep/1", "1")
    b.write("made/2", "2")
    b.remove("d/3/0003")
    walked = watch_walks(monkeypatch)
    report = at(b, "d/1/0001", "made", "d/3/0003", "made/2", "bad\\name", "nowhere")
    assert (report.pushed, report.pulled, report.deleted_remote, report.skipped) == (3, 2, 1, [])
    assert "" not in walked
    a.sync()
    assert a.files() == b.files() | {"d/2/0002": b"2"}
    assert b.sync().pushed == 1


def test_a_folder_that_became_a_file_and_back(machine: Make) -> None:
    a, b = two_alike(machine)
    for path in sorted((b.tree / "d/0").iterdir()):
        path.unlink()
    (b.tree / "d/0").rmdir()
    b.write("d/0", "a file now")
    at(b, "d/0")
    a.sync()
    assert a.files() == b.files()
    b.remove("d/0")
    b.write("d/0/again", "a folder again")
    at(b, "d/0")
    a.sync()
    assert a.files() == b.files()


# --- partial: what is outside is not looked at, and never deleted ---------------------------------------------------------


def test_folders_narrow_what_is_covered(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for key in ("data/t/m1/x/1/raw", "data/t/m10/x/1/raw", "data/t/m2/y", "other/z"):
        a.write(key, key)
    a.sync()
    assert b.sync(folders=("data/t/m1",)).pulled == 1
    assert set(b.files()) == {"data/t/m1/x/1/raw"}
    assert b.sync(folders=("data/t/m1", "other"), prefix="data/").idle
    assert b.sync(folders=("data/t/m1/",), directories=("other",)).idle
    b.write("data/t/m2/mine", "outside")
    report = b.sync(folders=("data/t/m1",))
    assert (report.pushed, report.deleted_remote) == (0, 0)
    a.sync()
    assert len(a.files()) == 4


# --- metadata only -------------------------------------------------------------------------------------------------------


def data_keys(number: int) -> tuple[str, str]:
    return f"data/t/m/n/{number}/metadata.yaml", f"data/t/m/n/{number}/raw"


def with_data(machine: Make) -> Machine:
    a = machine("a")
    for number in range(1, 6):
        meta, raw = data_keys(number)
        a.write(meta, f"version: {number}\n")
        a.write(raw, b"r" * 5_000)
    a.write("data/t/m/n/latest", "5")
    a.write("outputs/small.txt", "small")
    a.write("outputs/7/raw", "no metadata beside it")
    a.write("outputs/big.bin", b"b" * (SMALL_BYTES + 1))
    a.sync()
    return a


AWAY = {data_keys(number)[1] for number in range(1, 6)} | {"outputs/big.bin"}


@pytest.mark.parametrize("push", [False, True])
@pytest.mark.parametrize("compacted", [False, True])
def test_metadata_only_brings_no_contents_of_data(machine: Make, push: bool, compacted: bool) -> None:
    a, b = with_data(machine), machine("b")
    if compacted:
        a.compact()
    report = b.sync(push=push, metadata_only=True)
    assert (report.not_here, report.pulled) == (6, 7)  # latest is derived
    assert set(b.files()) == set(a.files()) - AWAY
    again = b.sync(push=push, metadata_only=True)
    assert (again.not_here, again.idle, b.requests) == (6, True, 2)
    assert b.sync(push=push).pulled == 6
    assert a.files() == b.files()


def test_what_is_not_here_is_never_read_as_deleted(machine: Make) -> None:
    """However the lazy tree is synced: both ways, pushing, by paths, with its folders deleted."""
    a, b = with_data(machine), machine("b")
    b.sync(metadata_only=True)
    b.write("mine", "x")
    b.sync(metadata_only=True)
    b.remove("data/t/m/n/2/metadata.yaml")  # a real deletion, beside contents that are not here
    (b.tree / "data/t/m/n/2").rmdir()
    before = set(a.files())
    b.sync(metadata_only=True)
    b.sync(pull=False)
    b.sync(metadata_only=True, prefix="data/")
    at(b, "data", metadata_only=True)
    a.sync()
    assert set(a.files()) == before - {"data/t/m/n/2/metadata.yaml"} | {"mine"}


def test_without_the_guard_what_is_not_here_would_be_deleted(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is that no row is written for what did not come: with one, absence is deletion."""
    from swampstore.workers.sync.state import RemoteRow, Row, State

    a, b = with_data(machine), machine("b")

    def stays_away(self: Lazy, key: str, row: Row | None, remote: RemoteRow | None) -> bool:
        if key not in AWAY or remote is None:
            return False
        state: State = self._state
        with state.transaction():
            state.synced(key, Row(remote.version, remote.size, 1, 1, b"", 1, 0, None))
        return True

    monkeypatch.setattr(Lazy, "stays_away", stays_away)
    b.sync(push=False, metadata_only=True)
    monkeypatch.undo()
    assert b.sync(metadata_only=True).deleted_remote == 6
    a.sync()
    assert not AWAY & set(a.files())


def test_contents_that_are_here_are_kept_current(machine: Make) -> None:
    a, b = with_data(machine), machine("b")
    b.sync(metadata_only=True)
    raw = data_keys(3)[1]
    assert at(b, raw, push=False).pulled == 1
    a.write(raw, "rewritten", mtime=OLD + 9)
    a.write(data_keys(4)[1], "rewritten too", mtime=OLD + 9)
    a.sync()
    report = b.sync(metadata_only=True)
    assert (report.pulled, report.not_here) == (1, 5)
    assert b.files()[raw] == b"rewritten"
    b.remove(raw)
    assert b.sync(metadata_only=True).deleted_remote == 1  # it was here: this is a deletion


def test_a_file_made_where_contents_are_not_here_is_a_conflict_like_any_other(machine: Make) -> None:
    a, b = with_data(machine), machine("b")
    b.sync(metadata_only=True)
    raw = data_keys(1)[1]
    b.write(raw, "made here", mtime=OLD + 9)
    report = b.sync(metadata_only=True)
    assert {conflict.path for conflict in report.conflicts} == {raw}
    a.sync()
    a.sync()
    kept = [key for key in a.files() if key.startswith(raw + ".conflict")]
    assert (a.files()[raw], a.files()[kept[0]]) == (b"made here", b"r" * 5_000)


# --- reserved names, other trees, dry runs -----------------------------------------------------------------------------------


def test_keys_that_sync_keeps_for_itself_are_reported(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    keys = [f"{STATE_FOLDER}/x", f"deep/{STATE_FOLDER}/y", f"{STATE_FOLDER}-tmp-1", "fine"]
    run(a.namespace().append([Put(key=key, data=b"x") for key in keys]))
    for options in OPTIONS[:2]:
        report = b.sync(**options)
        assert {skip.path for skip in report.skipped} == set(keys) - {"fine"}
    assert set(b.files()) == {"fine"}
    assert b.sync(prefix="fi").skipped == []
    run(a.namespace().append([Delete(key=key) for key in keys]))
    assert b.sync().skipped == []


def test_a_tree_within_the_tree_is_left_alone(machine: Make) -> None:
    store, b = machine("b").store, machine("b")
    inner = Machine(store, b.tree / "inner")
    inner.namespace = lambda before=None: Machine(store, inner.tree).namespace(before)  # type: ignore[method-assign]
    b.write("outer", "x")
    b.write("inner/there-before", "x")
    b.sync()
    (b.tree / "inner" / STATE_FOLDER).mkdir()
    b.write("inner/mine", "not pushed")
    b.remove("inner/there-before")
    for options in OPTIONS:
        report = b.sync(**options)
        assert (report.idle, [one.path for one in report.skipped]) == (True, ["inner"])
    assert "tree of another namespace" in report.skipped[0].reason
    assert not b.sync(directories=("elsewhere",)).skipped
    assert not b.sync(exclude=("inner/",)).skipped
    a = machine("a")
    a.sync()
    assert set(a.files()) == {"outer", "inner/there-before"}
    named = CoreStore(store, b.env).namespace("inner")
    run(sync(named, inner.tree, SyncOptions(pull=False, prefix="none/")))
    assert b.sync().skipped == []  # it is the folder of the namespace of its name
    shutil.rmtree(b.tree / "inner" / STATE_FOLDER)
    assert (b.sync().pushed, b.sync().idle) == (1, True)


def test_a_dry_run_needs_no_tree(machine: Make, tmp_path: Path) -> None:
    a = machine("a")
    a.write("x", "x")
    a.sync()
    b = machine("b")
    b.tree.rmdir()
    report = b.sync(dry_run=True)
    assert [(change.path, change.action) for change in report.changes] == [("x", "pull")]
    assert not b.tree.exists()
    b.tree = tmp_path / "no" / "tree"
    with pytest.raises(StoreMissing):
        b.sync(dry_run=True)


def test_a_file_in_the_way_is_named(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("x/y/z", "deep")
    a.sync()
    b.write("x/y", "a file")
    for options in OPTIONS[:2]:
        report = b.sync(**options)
        assert [(skip.path, "x/y is a file" in skip.reason) for skip in report.skipped] == [("x/y/z", True)]


def test_a_change_of_permissions_alone_is_no_change(machine: Make) -> None:
    a, b = two_alike(machine, 3)
    path = a.tree / "d/0/0000"
    path.chmod(0o755)
    assert a.sync().idle
    a.write("d/0/0000", "edited", mtime=OLD + 9)
    a.sync()
    b.sync()
    assert (b.tree / "d/0/0000").stat().st_mode & 0o777 == 0o755  # it travels with the contents
