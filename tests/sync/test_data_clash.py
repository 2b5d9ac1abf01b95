"""Two machines make the same number offline: both versions survive, each whole, the one that comes later renumbered."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from swampstore.env.blocking import run
from swampstore.workers.sync.clashes import Clashes, renumbered
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.units import arrange
from tests.sync.data_versions import ITEM, api, known, latest, make, metadata, remove
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]


def bodies(machine: Machine) -> dict[int, bytes]:
    """The contents of each version, as the client reads them: whatever it finds says that it is a version."""
    item = api(machine)
    return {version.ordinal or 0: run(item.read(version.id, as_of=None)) for version in run(item.versions())}


def settle(*machines: Machine) -> list[SyncReport]:
    return [one.sync() for _ in range(2) for one in machines]


def conflicts(reports: list[SyncReport]) -> list[tuple[str, str, str]]:
    return [(c.path, c.kept_as, c.winner) for report in reports for c in report.conflicts]


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("size", [3, 5000])
def test_the_one_in_the_namespace_keeps_its_number(machine: Make, newer: bool, size: int) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"a" * size)
    make(b, 1, b"b" * size, mtime=OLD + (9 if newer else -9))
    a.sync()
    report = b.sync()
    assert conflicts([report]) == [(f"{ITEM}/1", f"{ITEM}/2", "remote")]
    assert report.not_versions == []
    assert conflicts(settle(a, b)) == []
    assert a.files() == b.files()
    assert bodies(a) == {1: b"a" * size, 2: b"b" * size}
    assert a.files()[f"{ITEM}/2/metadata.yaml"] == metadata(1, b"b" * size).replace(b"version: 1", b"version: 2")
    assert latest(a) == latest(b) == "2"
    assert set(a.files()) == {f"{ITEM}/{n}/{leaf}" for n in (1, 2) for leaf in ("raw", "metadata.yaml")} | {
        f"{ITEM}/latest"
    }


def test_without_that_they_would_be_torn_apart(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clashes, "movable", lambda *_: False)
    a, b = machine("a"), machine("b")
    make(a, 1, b"a")
    make(b, 1, b"b", mtime=OLD + 9)
    a.sync()
    b.sync()
    assert any(".conflict-" in key for key in b.files())


def test_several_at_once_keep_their_order(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for number in (1, 2, 3):
        make(a, number, b"a%d" % number)
        make(b, number, b"b%d" % number)
    make(b, 4, b"b4")
    a.sync()
    report = b.sync()
    assert [kept for _, kept, _ in conflicts([report])] == [f"{ITEM}/{n}" for n in (5, 6, 7)]
    settle(a, b)
    assert a.files() == b.files()
    assert bodies(a) == {1: b"a1", 2: b"a2", 3: b"a3", 4: b"b4", 5: b"b1", 6: b"b2", 7: b"b3"}


def test_the_same_contents_with_other_metadata_are_two_versions(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"same", run="a")
    make(b, 1, b"same", run="b")
    a.sync()
    b.sync()
    settle(a, b)
    assert a.files() == b.files()
    assert bodies(a) == {1: b"same", 2: b"same"}
    assert known(a, f"{ITEM}/2/raw").tags["run"] == "b"


def test_the_same_version_is_no_clash(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"same")
    make(b, 1, b"same", mtime=OLD + 9)
    assert conflicts([a.sync(), b.sync(), a.sync()]) == []
    assert bodies(a) == {1: b"same"}


def test_a_number_that_the_client_gave_is_kept(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(b, 1, b"offline")
    ack = run(api(a).put(b"by the client", ordinal=True))
    b.sync()
    settle(a, b)
    assert bodies(a) == {1: b"by the client", 2: b"offline"}
    found = run(api(a).get(ack.id, as_of=None, follow=True))
    assert found is not None
    assert found.ordinal == 1
    run(api(a).put(b"next", ordinal=True))
    assert bodies(a)[3] == b"next"


def test_numbers_of_deleted_versions_are_not_taken(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"a1")
    make(a, 2, b"a2")
    a.sync()
    make(b, 1, b"b1")
    remove(a, 2)
    a.sync()
    b.sync()
    settle(a, b)
    assert bodies(a) == {1: b"a1", 3: b"b1"}


def test_one_way_syncs_only_say_so(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"a")
    make(b, 1, b"b")
    a.sync()
    before = b.files()
    for options in ({"push": False}, {"pull": False}):
        report = b.sync(**options)
        assert {skip.path for skip in report.skipped} == {f"{ITEM}/1/raw", f"{ITEM}/1/metadata.yaml"}
        assert b.files() == before
    assert b.sync(dry_run=True).changes[0].action == "conflict"
    assert b.files() == before
    b.sync()
    settle(a, b)
    assert bodies(a) == {1: b"a", 2: b"b"}


@pytest.mark.parametrize("broken", [b"[", b"version: 1\nversion: 1\n", b'{"version": 1, "name": "report"}'])
def test_what_cannot_be_renumbered_is_kept_beside(machine: Make, broken: bytes) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"a")
    make(b, 1, b"b", mtime=OLD + 9)
    b.write(f"{ITEM}/1/metadata.yaml", broken, mtime=OLD + 9)
    a.sync()
    assert len(b.sync().conflicts) == 2
    settle(a, b)
    assert a.files() == b.files()
    assert {b"a", b"b", broken, metadata(1, b"a")} <= set(a.files().values())


def test_edits_of_one_version_by_both_are_no_new_version(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"x")
    a.sync()
    b.sync()
    a.write(f"{ITEM}/1/metadata.yaml", metadata(1, b"x", run="a"), mtime=OLD + 5)
    b.write(f"{ITEM}/1/metadata.yaml", metadata(1, b"x", run="b"), mtime=OLD + 9)
    a.sync()
    report = b.sync()
    assert [c.path for c in report.conflicts] == [f"{ITEM}/1/metadata.yaml"]
    settle(a, b)
    assert a.files() == b.files()
    assert bodies(a) == {1: b"x"}
    assert known(a, f"{ITEM}/1/raw").tags["run"] == "b"


@pytest.mark.parametrize("step", range(12))
def test_a_crash_in_between_moves_nothing_twice(machine: Make, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from swampstore.workers.sync.temporary import Temporary

    a, b = machine("a"), machine("b")
    make(a, 1, b"a" * 5000)
    make(b, 1, b"b" * 5000)
    a.sync()
    count = 0

    def die() -> None:
        nonlocal count
        count += 1
        if count == step:
            raise KeyboardInterrupt

    place = Temporary.place

    def placed(self: Temporary, replaces: object) -> None:
        die()
        place(self, replaces)  # type: ignore[arg-type]

    monkeypatch.setattr(Temporary, "place", placed)
    with suppress(KeyboardInterrupt):
        b.sync(before=lambda verb, name: die() if verb == "put" else None)
    monkeypatch.undo()
    settle(b, a)
    assert a.files() == b.files()
    assert bodies(a) == {1: b"a" * 5000, 2: b"b" * 5000}
    assert not [key for key in a.files() if "conflict" in key]


# --- puts that met in a fold ---------------------------------------------------------------------------------------


def meet(a: Machine, b: Machine, write: Callable[[], object]) -> None:
    """``b`` pushes; just before its append ``a`` writes and syncs, in a later millisecond.

    Within one millisecond the two files of a version may win and lose apart; then a version is kept once more.
    """
    pushed: list[str] = []

    def a_first(verb: str, name: str) -> None:
        if verb == "put" and "/log/" in name and not pushed:
            pushed.append(name)
            time.sleep(0.002)
            write()
            a.sync()

    b.sync(before=a_first)
    assert pushed


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("size", [3, 9000])
def test_versions_that_met_unseen_get_numbers_of_their_own(machine: Make, size: int, compacted: bool) -> None:
    a, b, c = machine("a"), machine("b"), machine("c")
    make(b, 1, b"b" * size)
    meet(a, b, lambda: make(a, 1, b"a" * size))
    if compacted:
        a.compact()
    reports = [one.sync() for one in (c, a, b, c, a, b)]
    assert ("other-writer" in {winner for _, _, winner in conflicts(reports)}) is True
    assert a.files() == b.files() == c.files()
    assert sorted(bodies(a).values()) == [b"a" * size, b"b" * size]
    assert set(bodies(a)) == {1, 2}
    assert not [key for key in a.files() if "conflict" in key]
    for one in (a, b, c):
        one.compact()
        assert one.sync().idle


def test_both_settle_it_at_the_same_time(machine: Make) -> None:
    a, b, c = machine("a"), machine("b"), machine("c")
    make(b, 1, b"b")
    meet(a, b, lambda: make(a, 1, b"a"))
    meet(a, c, lambda: None)
    settle(a, b, c)
    settle(a, b, c)
    assert a.files() == b.files() == c.files()
    assert bodies(a) == {1: b"b", 2: b"a"} or bodies(a) == {1: b"a", 2: b"b"}


@pytest.mark.parametrize(("mine", "theirs"), [("a", "a"), ("a", "b")])
def test_only_one_of_the_files_differs(machine: Make, mine: str, theirs: str) -> None:
    """Equal metadata with other contents, or equal contents with other metadata: only one file is kept by the fold."""
    a, b = machine("a"), machine("b")
    same = mine == theirs
    fields = {"checksum": ""}
    make(b, 1, b"b" if same else b"x", run=theirs, **fields)
    meet(a, b, lambda: make(a, 1, b"a" if same else b"x", run=mine, **fields))
    settle(a, b)
    assert a.files() == b.files()
    found = bodies(a)
    assert sorted(found.values()) == ([b"a", b"b"] if same else [b"x", b"x"])
    assert {known(a, f"{ITEM}/{n}/raw").tags["run"] for n in found} == {mine, theirs}


def test_the_client_and_a_sync_meet_unseen(machine: Make) -> None:
    """The fold numbers a version; a sync that has not seen it pushes the same number."""
    a, b = machine("a"), machine("b")
    make(b, 1, b"offline")
    meet(a, b, lambda: run(api(a).put(b"by the client", ordinal=True)))
    settle(a, b)
    assert a.files() == b.files()
    assert sorted(bodies(a).values()) == [b"by the client", b"offline"]


# --- the pieces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"version: 1\n", b"version: 7\n"),
        (b"version: '1'\n", b"version: '7'\n"),
        (b'version: "1"  # first\r\n', b'version: "7"  # first\r\n'),
    ],
)
def test_only_the_number_changes(before: bytes, after: bytes) -> None:
    body = metadata(1, b"x").replace(b"version: 1\n", before)
    assert renumbered(body, 1, 7) == body.replace(before, after)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"version: 1\n",
        metadata(2, b"x"),
        metadata(1, b"x") + b"other:\n  nested: |\n    text\nversion: 1\n",
        metadata(1, b"x").replace(b"version: 1", b"version: 01x"),
        metadata(1, b"x", filler="x" * 300_000),
    ],
)
def test_what_is_not_sure_is_not_renumbered(body: bytes) -> None:
    assert renumbered(body, 1, 7) is None


def test_a_number_in_a_text_is_no_version() -> None:
    body = metadata(1, b"x") + b"notes: |\n  version: 1\n"
    changed = renumbered(body, 1, 7)
    assert changed is not None
    assert changed.endswith(b"  version: 1\n")


def test_nothing_is_arranged_where_there_are_no_versions() -> None:
    assert arrange([], lambda folder: True) == ([], [])
