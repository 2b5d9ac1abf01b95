"""Renaming data and searching it: forwards that are followed, those that lead nowhere, filters that all must match."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import swampstore
from swampstore import AlreadyExists, DeadForward, Misuse, Model, NotFound, SwampError
from swampstore.client.data_blocking import DataItem
from swampstore.limits import DATA_RENAMES
from swampstore.values.data import Datum, raw_path
from tests.data.desk import PLACES, Desk

everywhere = pytest.mark.parametrize("settle", PLACES.values(), ids=PLACES)


# --- renaming --------------------------------------------------------------------------------------------------------


@everywhere
def test_renaming_forwards(desk: Desk, state: DataItem, settle: Callable[[Desk], object]) -> None:
    state.put(b"old")
    settle(desk)
    desk.env.advance(10)
    before = desk.env.wall
    state.put(b"new", tags={"a": "b"}, content_type="text/plain")
    desk.env.advance(10)
    settle(desk)
    state.rename("fresh")
    settle(desk)
    fresh = desk.ns.data("aws/ec2:web", "fresh")
    found = state.get()
    assert found is not None
    assert (found.name, found.tags, found.content_type) == ("fresh", {"type": "resource", "a": "b"}, "text/plain")
    assert state.read() == fresh.read() == b"new"
    marker = state.get(follow=False)
    assert marker is not None
    assert (marker.renamed_to, marker.lifecycle, marker.deleted, marker.size) == ("fresh", "deleted", True, 0)
    assert state.read(as_of=before) == b"new"
    assert state.read(as_of=before - 1) == b"old"
    assert [version.name for version in desk.ns.search_data()] == ["fresh"]
    with pytest.raises(NotFound, match="renamed to 'fresh'"):
        state.rename("other")
    desk.ns.compact()
    assert (state.read(1), fresh.get().ordinal) == (b"old", 1)  # type: ignore[union-attr]
    state.put(b"reborn")
    assert (state.read(), fresh.read()) == (b"reborn", b"new")


def test_a_renaming_copies_no_contents(desk: Desk, state: DataItem) -> None:
    state.put(b"x" * 300_000)
    desk.ns.compact()
    desk.store.forget()
    state.rename("fresh")
    assert desk.store.sent < 3000
    assert desk.store.kinds().count("create") == 1
    state.delete()
    desk.ns.compact()
    desk.env.advance(3 * 24 * 3600)
    desk.ns.compact()
    assert desk.ns.data("aws/ec2:web", "fresh").read() == b"x" * 300_000


def test_renaming_to_what_is_there_to_itself_and_to_no_name(desk: Desk, state: DataItem) -> None:
    state.put(b"x")
    desk.ns.data("aws/ec2:web", "taken").put(b"y")
    with pytest.raises(AlreadyExists):
        state.rename("taken")
    with pytest.raises(Misuse):
        state.rename("state")
    with pytest.raises(swampstore.BadName):
        state.rename("a/b")
    state.rename("free")
    desk.ns.data("aws/ec2:web", "free").rename("state")
    assert state.read() == b"x"
    assert desk.ns.data("aws/ec2:web", "free").get().name == "state"  # type: ignore[union-attr]


def forward(desk: Desk, name: str, to: str) -> None:
    """A marker as an import may bring it."""
    datum = Datum("aws/ec2", "web", name, ordinal=1, lifecycle="deleted", renamed_to=to)
    desk.ns.append([swampstore.Put(key=raw_path(datum.item, 1), data=b"", datum=datum)])


def test_renamings_in_a_circle_or_without_end(desk: Desk, state: DataItem) -> None:
    forward(desk, "state", "b")
    forward(desk, "b", "state")
    with pytest.raises(DeadForward, match="circle: state -> b -> state"):
        state.get()
    assert state.get(follow=False).renamed_to == "b"  # type: ignore[union-attr]
    for number in range(DATA_RENAMES + 1):
        forward(desk, f"n{number}", f"n{number + 1}")
    with pytest.raises(DeadForward, match="more than"):
        desk.ns.data("aws/ec2:web", "n0").get()
    assert desk.ns.data("aws/ec2:web", "n1").get() is None
    forward(desk, "c", "../../x")
    with pytest.raises(DeadForward, match="no name"):
        desk.ns.data("aws/ec2:web", "c").get()


# --- searching -------------------------------------------------------------------------------------------------------


@everywhere
def test_searching(desk: Desk, settle: Callable[[Desk], object]) -> None:
    started = desk.env.wall
    for model in ("aws/ec2:web", "aws/ec2:db", "aws:ec2", "gcp:vm"):
        for name in ("state", "poll-1"):
            item = desk.ns.data(model, name)
            for turn in range(2):
                item.put(b"x", tags={"n": str(turn)}, owner={"ownerRef": model}, content_type="text/plain")
                desk.env.advance(1)
    settle(desk)
    desk.ns.put("data/aws/ec2/web/state/9/raw", b"no version: nobody said so")

    def found(**wanted: object) -> list[str]:
        return [f"{v.model} {v.name} {v.tags['n']}" for v in desk.ns.search_data(**wanted)]  # type: ignore[arg-type]

    assert len(found()) == 8
    assert len(found(latest_only=False)) == 16
    assert found(model="aws/ec2:web") == ["aws/ec2:web poll-1 1", "aws/ec2:web state 1"]
    assert found(model=Model("aws", "ec2"), name="st*") == ["aws:ec2 state 1"]
    assert len(found(model_type="aws/ec2")) == 4
    assert found(tags={"n": "0"}) == []
    assert len(found(tags={"n": "0"}, latest_only=False)) == 8
    assert len(found(owner="gcp:vm")) == len(found(owner={"ownerRef": "gcp:vm"})) == 2
    assert found(owner={"ownerRef": "x"}) == found(lifetime="30d") == found(content_type="image/*") == []
    assert len(found(content_type="text/*", lifetime="infinite")) == 8
    assert len(found(since=started + 4000, latest_only=False)) == 12
    assert len(found(until=started + 4000, latest_only=False)) == 4
    assert len(found(limit=3)) == 3
    for wrong in ({"limit": 0}, {"model": "no-colon"}, {"model_type": "../x"}, {"colour": "red"}, {"since": "now"}):
        with pytest.raises(SwampError):
            found(**wrong)
