"""``latest`` follows from the tree: never pushed, never in conflict, right after every sync that touches its datum."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from swampstore.env.blocking import run
from swampstore.values.deltas import Put
from swampstore.workers.sync.latest import Latest
from swampstore.workers.sync.state import State
from swampstore.workers.sync.versions import Folders
from tests.sync.data_versions import ITEM, MODEL, api, entry, known, latest, make, remove
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]
LATEST = f"{ITEM}/latest"


def plain(machine: Machine, text: str) -> None:
    """A ``latest`` in the namespace, as an import leaves it."""
    run(machine.namespace().append([Put(key=LATEST, data=text.encode())]))


def test_it_is_never_pushed_and_says_the_highest_number_here(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for number in (1, 2, 10):
        make(a, number, b"%d" % number)
    assert a.sync().pushed == 6
    assert entry(a, LATEST) is None
    b.sync()
    assert latest(b) == "10"
    remove(b, 10)
    b.sync()
    assert latest(b) == "2"
    a.sync()
    assert (latest(a), a.files()) == ("2", b.files())
    make(a, 3, b"3")
    a.sync()
    b.sync()
    assert latest(b) == "3"


def test_two_machines_with_different_numbers_do_not_meet_over_it(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"1")
    make(b, 2, b"2")
    reports = [one.sync() for one in (a, b, a)]
    assert [report.conflicts for report in reports] == [[], [], []]
    assert latest(a) == latest(b) == "2"
    assert a.files() == b.files()


@pytest.mark.parametrize("wrong", ["", "7", "1\n", "x" * 100])
def test_a_wrong_one_is_made_right_when_its_datum_is_touched(machine: Make, wrong: str) -> None:
    a = machine("a")
    make(a, 1, b"1")
    a.sync()
    a.write(LATEST, wrong)
    assert a.sync().idle
    make(a, 2, b"2")
    a.write(LATEST, wrong)
    a.sync()
    assert latest(a) == "2"
    (a.tree / LATEST).unlink()
    remove(a, 2)
    a.sync()
    assert latest(a) == "1"


def test_it_goes_with_the_last_version(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"1")
    a.write(f"{ITEM}/notes.txt", "stays")
    a.sync()
    b.sync()
    remove(a, 1)
    a.sync()
    b.sync()
    assert a.files() == b.files() == {f"{ITEM}/notes.txt": b"stays"}
    assert a.sync().idle


@pytest.mark.parametrize("form", ["2", "2/"])
def test_a_link_of_an_old_tree_stays_a_link(machine: Make, form: str) -> None:
    a = machine("a")
    make(a, 1, b"1")
    make(a, 2, b"2")
    (a.tree / LATEST).unlink()
    os.symlink(form, a.tree / LATEST)
    report = a.sync()
    assert report.skipped == []
    assert os.readlink(a.tree / LATEST) == form
    remove(a, 2)
    assert a.sync().skipped == []
    assert os.readlink(a.tree / LATEST) == "1"
    assert (a.tree / LATEST / "raw").read_bytes() == b"1"
    remove(a, 1)
    a.sync()
    assert not (a.tree / LATEST).is_symlink()
    assert a.sync(push=False).skipped == []


def test_a_link_that_leads_elsewhere_is_left_alone(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"1")
    (a.tree / LATEST).unlink()
    os.symlink("../..", a.tree / LATEST)
    a.sync()
    assert os.readlink(a.tree / LATEST) == "../.."


# --- what an import has left ---------------------------------------------------------------------------------------


def test_a_stale_entry_does_no_harm(machine: Make) -> None:
    """Not pulled, not in conflict, gone from the namespace once its datum is touched by a sync that pushes."""
    a, b = machine("a"), machine("b")
    make(a, 1, b"1")
    a.sync()
    plain(a, "77")
    for one in (a, b, b):
        report = one.sync()
        assert (report.conflicts, report.skipped) == ([], [])
    assert latest(a) == latest(b) == "1"
    assert b.sync(push=False).idle
    make(a, 2, b"2")
    a.sync()
    assert entry(a, LATEST) is None
    b.sync()
    assert latest(b) == "2"


def test_it_is_not_looked_at_again(machine: Make) -> None:
    """A pull looks at what is pending: an entry that is passed over does not stay pending."""
    a, b = machine("a"), machine("b")
    make(a, 1, b"1")
    a.sync()
    plain(a, "1")
    b.sync(push=False)
    b.sync(push=False)
    (path,) = (b.tree / ".swampstore").glob("*.db")
    state = State(path, b.store.url, "ops")
    assert list(state.pending("", 0)) == []
    state.close()


def test_it_does_not_come_back_once_all_versions_are_gone(machine: Make) -> None:
    a, b, c = machine("a"), machine("b"), machine("c")
    make(a, 1, b"1")
    a.sync()
    plain(a, "1")
    b.sync()
    run(api(a).delete(1))
    for one in (b, a, c, b, a):
        one.sync()
    assert entry(a, LATEST) is None
    assert a.files() == b.files() == c.files() == {}


def test_without_the_guard_it_would_be_in_conflict(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Folders, "passes_over", lambda *_: False)
    a, b = machine("a"), machine("b")
    make(a, 1, b"1")
    make(b, 2, b"2")
    a.sync()
    assert b.sync().conflicts


def test_a_file_of_that_name_elsewhere_is_a_file(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for key in ("outputs/latest", "data/t/m/n/latest", "data/latest", "outputs/t/m/n/latest"):
        a.write(key, "a file of the user")
    a.write("outputs/t/m/n/1/metadata.yaml", "no version")
    a.sync()
    b.sync()
    assert b.files() == a.files()
    assert len(b.files()) == 5


def test_one_kept_by_a_fold_is_dropped(machine: Make) -> None:
    """Two older programs pushed it at once: the loser is no contents of anybody's."""
    a = machine("a")
    make(a, 1, b"1")
    a.sync()
    for text in (b"1", b"2"):
        run(a.namespace().append([Put(key=LATEST, data=text, base=bytes(24))]))
    a.compact()
    report = a.sync()
    assert report.conflicts == []
    assert set(a.files()) == {f"{ITEM}/1/raw", f"{ITEM}/1/metadata.yaml", LATEST}
    a.compact()
    assert a.sync().conflicts == []


def test_a_killed_sync_leaves_it_to_the_next(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"1")
    a.sync()
    b.sync()
    make(a, 2, b"2")
    a.sync()

    def die(self: Latest, item: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Latest, "repair", die)
        with pytest.raises(KeyboardInterrupt):
            b.sync()
    assert latest(b) == "1"
    b.sync()
    assert latest(b) == "2"


def test_what_is_not_covered_is_left_alone(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"1")
    a.sync()
    b.sync(prefix=f"{ITEM}/1/")
    assert latest(b) is None
    c = machine("c")
    c.sync(exclude=("latest",))
    assert latest(c) is None
    c.sync()
    assert set(c.files()) == {f"{ITEM}/1/raw", f"{ITEM}/1/metadata.yaml"}


def test_a_folder_in_its_place_is_reported(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"1")
    (a.tree / LATEST).unlink()
    a.write(f"{LATEST}/x", "in the way")
    report = a.sync()
    assert [skip.path for skip in report.skipped] == [LATEST]


# --- versions of the client ----------------------------------------------------------------------------------------


def test_versions_of_the_client_appear_as_folders(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 3, b"from a tree", mtime=OLD)
    a.sync()
    item = api(a)  # two processes may put in one millisecond, and then either comes first
    for body in (b"one", b"two" * 3000):
        run(item.put(body, ordinal=False, content_type="text/plain", tags={"by": "client"}))
    report = b.sync()
    assert (report.pulled, report.appends) == (6, 0)
    assert latest(b) == "5"
    assert b.files()[f"{ITEM}/4/raw"] == b"one"
    assert b"by: client" in b.files()[f"{ITEM}/5/metadata.yaml"]
    assert b.sync().idle
    assert b.requests <= 3
    assert a.sync().not_versions == []
    assert a.files() == b.files()
    assert [(version.ordinal, version.pending) for version in run(api(a).versions())] == [
        (5, False), (4, False), (3, False),
    ]  # fmt: skip
    remove(b, 5)
    b.sync()
    assert [version.ordinal for version in run(api(a).versions())] == [4, 3]
    a.sync()
    assert latest(a) == "4"


def test_the_number_of_a_version_deleted_by_sync_is_not_given_again(machine: Make) -> None:
    a = machine("a")
    run(api(a).put(b"one", ordinal=False))
    a.sync()
    remove(a, 1)
    a.sync()
    a.compact()
    run(api(a).put(b"two", ordinal=False))
    a.sync()
    assert latest(a) == "2"


def test_what_is_pending_is_numbered_by_one_fold_and_found_later_too(machine: Make) -> None:
    """A sync that may not fold, or saw the slot before, still leads to the number."""
    a, b = machine("a"), machine("b")
    run(api(a).put(b"one", ordinal=False))
    assert b.sync(dry_run=True).idle
    assert b.sync(pull=False).idle
    assert b.files() == {}
    assert b.last is not None
    b.sync()
    assert sum(name.startswith("put") and name.endswith("/root") for name in b.last.names) <= 1
    assert latest(b) == "1"


@pytest.mark.parametrize("push", [False, True])
def test_a_client_that_may_not_write_says_so(machine: Make, push: bool) -> None:
    from swampstore.errors import StoreForbidden

    a, b = machine("a"), machine("b")
    run(api(a).put(b"one", ordinal=False))
    a.write("x", "1")
    a.sync(pull=False)

    def forbid(verb: str, name: str) -> None:
        if verb == "put":
            raise StoreForbidden("not for you")

    report = b.sync(before=forbid, push=push)
    assert "no number yet" in report.skipped[0].reason
    assert b.files() == {"x": b"1"}
    b.sync()
    assert latest(b) == "1"


def test_the_fields_come_back_from_the_tree(machine: Make) -> None:
    """client -> tree -> another namespace: the same fields."""
    from swampstore.stores.memory import MemoryStore

    a = machine("a")
    run(
        api(a).put(
            b"one", ordinal=False, tags={"k": "v"}, lifetime="90d", keep=3, owner={"name": "o"}, extra={"f": "1"}
        )
    )
    a.sync()
    before = known(a, f"{ITEM}/1/raw")
    a.store = MemoryStore(url="memory://other")
    report = a.sync()
    assert report.not_versions == []
    after = known(a, f"{ITEM}/1/raw")
    assert (after.tags, after.meta.lifetime, after.expires) == (before.tags, "90d", before.expires)
    assert after.meta.data is not None
    assert before.meta.data is not None
    assert (after.meta.data.keep, after.meta.data.owner, after.meta.data.extra) == ("3", {"name": "o"}, {"f": "1"})
    assert MODEL == str(after.meta.data.model)
