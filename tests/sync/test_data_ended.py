"""A version that is deleted, made anew or edited here, and past its lifetime before a sync meets it: all trees agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swampstore.workers.sync import data
from tests.sync.data_versions import CREATED, ITEM, entry, latest, make, metadata, remove
from tests.sync.machines import OLD, Machine
from tests.sync.test_data_preview import dry_then_real

Make = Callable[..., Machine]
META, RAW = f"{ITEM}/1/metadata.yaml", f"{ITEM}/1/raw"
ENDED = {"lifetime": "1h", "createdAt": CREATED}


def two(machine: Make) -> tuple[Machine, Machine]:
    """Machines that both have version 1."""
    a, b = machine("a"), machine("b")
    make(a, 1, b"one")
    a.sync()
    b.sync()
    return a, b


def make_anew(machine: Machine, raw: bytes, mtime: int, **fields: str) -> None:
    remove(machine, 1)
    make(machine, 1, raw, mtime=mtime, **fields)


def settle(*machines: Machine) -> None:
    for one in (*machines, *machines):
        one.sync()
    assert [one.sync().idle for one in machines] == [True] * len(machines)


@pytest.fixture(params=["as it is", "without giving way"])
def gives_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param != "as it is":
        monkeypatch.setattr(data, "give_way", lambda items, _: list(items))
    return request.param == "as it is"


def test_it_loses_to_what_the_other_side_made(machine: Make, gives_way: bool) -> None:
    a, b = two(machine)
    make_anew(a, b"mine, and ended", OLD + 9, **ENDED)
    make_anew(b, b"theirs", OLD + 5)
    b.sync()
    report = dry_then_real(a) if gives_way else a.sync()
    assert {(one.path, one.winner == "remote") for one in report.conflicts} == {(META, gives_way), (RAW, gives_way)}
    if not gives_way:  # it would win at every sync, and never come there
        assert len(a.sync().conflicts) == 2
        return
    settle(a, b)
    assert a.files() == b.files()
    assert a.files()[RAW] == b"theirs"
    assert b"mine, and ended" in a.files().values()


def test_what_it_replaced_does_not_outlive_it(machine: Make, gives_way: bool) -> None:
    a, b = two(machine)
    make_anew(a, b"mine, and ended", OLD + 9, **ENDED)
    report = dry_then_real(a)
    assert (report.deleted_remote, report.conflicts) == (2 * gives_way, [])
    settle(a, b)
    assert (entry(b, RAW), latest(b), set(b.files())) == (None, None, set()) if gives_way else RAW in b.files()
    assert (a.files()[RAW], latest(a)) == (b"mine, and ended", "1")
    assert a.sync().expired == 2


def test_an_edit_of_what_it_replaced_survives(machine: Make) -> None:
    """The other side changed the metadata alone, and its contents come along."""
    a, b = two(machine)
    make_anew(a, b"mine, and ended", OLD + 9, **ENDED)
    b.write(META, metadata(1, b"one", run="r2"), mtime=OLD + 5)
    b.sync()
    dry_then_real(a)
    settle(a, b)
    assert a.files() == b.files()
    assert (a.files()[RAW], a.files()[META]) == (b"one", metadata(1, b"one", run="r2"))
    assert b"mine, and ended" in b.files().values()


def test_an_edit_that_ends_it_loses_to_another_edit(machine: Make) -> None:
    a, b = two(machine)
    a.write(META, metadata(1, b"one", **ENDED), mtime=OLD + 9)
    b.write(META, metadata(1, b"one", run="r2"), mtime=OLD + 5)
    b.sync()
    assert [one.winner for one in dry_then_real(a).conflicts] == ["remote"]
    settle(a, b)
    assert a.files() == b.files()
    assert a.files()[META] == metadata(1, b"one", run="r2")


def test_an_edit_alone_deletes_nothing(machine: Make) -> None:
    """An import lets what has ended be read for a while: who edits its tags is not to end that sooner."""
    a, b = two(machine)
    a.write(META, metadata(1, b"one", **ENDED), mtime=OLD + 9)
    assert dry_then_real(a).expired == 1
    settle(a, b)
    assert b.files()[RAW] == b"one"


def test_in_one_direction(machine: Make) -> None:
    """A pull leaves it, a push deletes what it replaced; what has changed there waits for a sync of both ways."""
    a, b = two(machine)
    make_anew(a, b"mine, and ended", OLD + 9, **ENDED)
    assert a.sync(push=False).idle
    b.write(META, metadata(1, b"one", run="r2"), mtime=OLD + 5)
    b.sync()
    for options in ({"push": False}, {"pull": False}):
        report = a.sync(**options)
        assert (report.deleted_remote, report.conflicts, report.pulled) == (0, [], 0)
        assert report.skipped
    assert a.files()[RAW] == b"mine, and ended"
    b.write(META, metadata(1, b"one"), mtime=OLD)
    b.sync()
    c = machine("c")
    c.sync()
    make_anew(c, b"of c, and ended", OLD + 9, **ENDED)
    assert c.sync(pull=False).deleted_remote == 2
    assert entry(b, RAW) is None


def test_two_that_have_ended(machine: Make) -> None:
    a, b = two(machine)
    make_anew(a, b"of a", OLD + 9, **ENDED)
    make_anew(b, b"of b", OLD + 5, **ENDED)
    settle(a, b)
    assert (a.files()[RAW], b.files()[RAW], entry(a, RAW)) == (b"of a", b"of b", None)


def test_a_longer_lifetime_brings_it_there(machine: Make) -> None:
    a, b = two(machine)
    make_anew(a, b"mine", OLD + 9, **ENDED)
    settle(a, b)
    a.write(META, metadata(1, b"mine"), mtime=OLD + 20)
    settle(a, b)
    assert a.files() == b.files()
    assert b.files()[RAW] == b"mine"
