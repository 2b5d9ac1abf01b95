"""Keys that a hostile writer put into a store, and folders that are swapped under a sync: nothing outside the tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from swampstore.env.blocking import run
from swampstore.errors import SwampError
from swampstore.stores.base import Overwrite
from swampstore.values.entry import Inline, Meta, Record, put_record
from swampstore.values.names import Names, writer_lane
from swampstore.values.segment import SegmentHeader, encode_records, encode_segment
from swampstore.values.version import hlc_of, make_version, make_writer_id
from swampstore.workers.sync.options import STATE_FOLDER, TEMP_PREFIX
from swampstore.workers.sync.tree import Tree
from tests.sync.conftest import machine
from tests.sync.machines import Machine

__all__ = ["machine"]
Make = Callable[..., Machine]
LONG = "n" * 300
BAD = [
    "../outside", "../../outside", "a/../../outside", "/absolute", "//absolute", "..", ".", "a/./b", "a//b", "b/", "", "x" * 5000,
    "back\\slash", f"{STATE_FOLDER}/evil.db", f"deep/{STATE_FOLDER}/evil.db", f"{TEMP_PREFIX}0123456789abcdef", "a/../b",
    "new\nline/../..", "~/home", "%2e%2e/outside",
]  # fmt: skip
FINE = ["good", "deep/good", "UPPER", "upper", "caf\u00e9", "cafe\u0301", "~/home", "%2e%2e/outside", f"{LONG[:200]}/x"]


def hostile_segment(machine: Machine, keys: list[str], flags: int = 0) -> None:
    """Write a segment as no writer of this library would: with any keys."""
    now = machine.env.wall_ms()
    writer = make_writer_id(now, b"evil!!")
    meta = Meta(size=5, at=Inline(b"pwned"))
    records = [put_record(key, make_version(hlc_of(now), writer, op), meta) for op, key in enumerate(keys)]
    records = [Record(one.key, one.version, one.flags | flags, one.expires, one.value) for one in records]
    lane = writer_lane(writer)
    data = encode_segment(SegmentHeader(lane, 1, b"evil!!!!", now), len(records), encode_records(records))
    run(machine.store.put(Names("ops").segment(lane, 1), data, Overwrite()))


def outside(tmp_path: Path, *trees: str) -> list[str]:
    """Every file that is not in one of the trees."""
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()]
    return sorted(path.as_posix() for path in found if path.parts[0] not in (*trees, "cache"))


@pytest.mark.parametrize("folded", [False, True])
def test_hostile_keys_are_not_written(machine: Make, tmp_path: Path, folded: bool) -> None:
    a = machine("a")
    hostile_segment(a, [*BAD, *FINE])
    if folded:
        a.compact()
    report = a.sync()
    assert outside(tmp_path, "a") == []
    assert not Path("/absolute").exists()
    assert set(a.files()) <= set(FINE)
    assert {"good", "deep/good", "~/home"} <= set(a.files())
    assert [path.suffix for path in (a.tree / STATE_FOLDER).iterdir() if path.name.startswith("evil")] == []
    assert report.pulled <= len(FINE)
    again = a.sync()
    assert (again.pulled, again.pushed, again.deleted_local) == (0, 0, 0)
    assert outside(tmp_path, "a") == []


def test_without_the_guards_it_would_be_written_outside(machine: Make, tmp_path: Path) -> None:
    """Two guards stand in the way, one at what comes from the store, one at every path; either is enough."""
    a = machine("a")
    hostile_segment(a, ["../outside", "good"])
    with mock.patch("swampstore.workers.sync.mirror._is_fit", return_value=True):
        report = a.sync()
        assert outside(tmp_path, "a") == []
        assert [skip.path for skip in report.skipped] == ["../outside"]
        with mock.patch("swampstore.workers.sync.tree.leads_out", return_value=False):
            a.sync()
    assert outside(tmp_path, "a") == ["outside"]


def test_a_state_that_names_files_outside_removes_none(machine: Make, tmp_path: Path) -> None:
    """A tree may come from anywhere, with the state in it."""
    import sqlite3

    a = machine("a")
    a.write("kept", "1")
    a.sync()
    victim = tmp_path / "victim"
    victim.write_bytes(b"x")
    (state,) = (a.tree / STATE_FOLDER).glob("*.db")
    seen = victim.stat()
    with sqlite3.connect(state) as db:
        db.execute(
            "INSERT INTO files SELECT '../victim', version, ?, ?, ?, sha256, at_ms, expires, labels FROM files LIMIT 1",
            (seen.st_size, seen.st_mtime_ns, seen.st_ino),
        )
    for options in ({}, {"push": False}, {"pull": False}):
        with suppress(SwampError):  # it may say so
            a.sync(**options)  # type: ignore[arg-type]
    assert victim.read_bytes() == b"x"


def test_fields_of_the_data_model_lead_nowhere_else(machine: Make, tmp_path: Path) -> None:
    """Paths of versions are made of fields that a hostile writer chooses."""
    from swampstore.values.data import Datum

    a = machine("a")
    now = a.env.wall_ms()
    writer = make_writer_id(now, b"evil!!")
    records = []
    for op, part in enumerate(["../../../..", "/etc", "x/../../../../..", ""]):
        datum = Datum(part, part, part, ordinal=op + 1)
        meta = Meta(size=5, at=Inline(b"pwned"), data=datum)
        records.append(put_record(f"data/a/b/c/{op + 1}/raw", make_version(hlc_of(now), writer, op), meta))
    lane = writer_lane(writer)
    header = SegmentHeader(lane, 1, b"evil!!!!", now)
    data = encode_segment(header, len(records), encode_records(records))
    run(a.store.put(Names("ops").segment(lane, 1), data, Overwrite()))
    a.sync()
    a.compact()
    a.sync()
    assert outside(tmp_path, "a") == []


# --- folders that are swapped meanwhile -------------------------------------------------------------------------------


def swapper(tree: Path, to: Path, when: str) -> Callable[[str, str], None]:
    """Puts a link to ``to`` in place of the folder ``d`` when the first request of a kind is made."""
    done: list[str] = []

    def before(verb: str, name: str) -> None:
        if not done and verb == when and (tree / "d").is_dir():
            done.append(name)
            (tree / "d").rename(tree.parent / "moved")
            (tree / "d").symlink_to(to)

    return before


def test_a_folder_swapped_while_files_are_fetched(machine: Make, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    for number in range(3):
        a.write(f"d/{number}", "x" * 20_000)
    a.sync()
    b.sync()
    for number in range(3):
        a.write(f"d/{number}", "y" * 20_000, mtime=None)
    a.write("d/new", "z" * 20_000)
    a.sync()
    target = tmp_path / "target"
    target.mkdir()
    b.sync(before=swapper(b.tree, target, "get"))
    assert list(target.iterdir()) == []


def test_a_folder_swapped_while_it_is_pushed(machine: Make, tmp_path: Path) -> None:
    """What lies behind the link is not sent."""
    a, b = machine("a"), machine("b")
    target = tmp_path / "target"
    target.mkdir()
    (target / "0").write_bytes(b"secret")
    a.write("d/0", "public")
    a.write("e", "x")
    a.sync(before=swapper(a.tree, target, "put"))
    a.sync()
    b.sync()
    assert b"secret" not in b.files().values()


def test_without_the_guard_a_linked_folder_is_followed(machine: Make, tmp_path: Path) -> None:
    a = machine("a")
    target = tmp_path / "target"
    target.mkdir()
    (a.tree / "d").symlink_to(target)
    with Tree(a.tree, a.env) as tree, pytest.raises(OSError, match=r"(?i)directory"), tree.temporary("d/new", 0):
        pass
    followed = mock.patch("swampstore.workers.sync.tree._FOLDER", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with followed, Tree(a.tree, a.env) as tree, tree.temporary("d/new", 0) as file:
        file.write(b"x")
        file.finish(0)
        file.place(None)
    assert [path.name for path in target.iterdir()] == ["new"]
