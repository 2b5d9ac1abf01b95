"""The commit lane: group commit, neighbours and conflicts, late answers, undecided creates, slots brought back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from swampstore.errors import AmbiguousAppend, Misuse, TooLarge
from swampstore.protocols.commit import CommitConflict, CommitLane, Committed, Draft
from swampstore.protocols.resolve import resolve
from swampstore.stores.base import Create, List, Request
from swampstore.values.entry import OPAQUE, Record
from swampstore.values.names import COMMIT_LANE
from swampstore.values.segment import Commit, Segment, decode_segment
from tests.coordination.support import Player, Stage


def lane_of(player: Player) -> CommitLane:
    return player.ns._lane(COMMIT_LANE)


async def draft(player: Player, *keys: str, data: bytes = b"", fenced: bool = True, **more: Any) -> Draft:
    """A draft made from a snapshot taken now."""
    snapshot, span = await player.ns.reader.open_timed()
    seen = {key: (record.version if (record := await snapshot.record(key)) else None) for key in keys}
    version = player.ns.writer.new_version()
    records = [Record(key, version, OPAQUE, 0, data) for key in keys]
    return Draft(
        commit=Commit(footprint=keys),
        build=lambda _slot, _start: records,
        seen=seen,
        tail=snapshot.tail(COMMIT_LANE),
        span=span,
        fenced=fenced,
        **{"size": len(keys), "weight": len(data)} | more,
    )


async def commit(player: Player, *keys: str, data: bytes = b"") -> Committed:
    return await lane_of(player).commit(await draft(player, *keys, data=data))


def slot(stage: Stage, number: int) -> Segment:
    name = f"ops/log/{COMMIT_LANE}/{number:016x}"
    return decode_segment(stage.body(name), name, COMMIT_LANE, number)


def start_together(stage: Stage, player: Player, drafts: list[Draft]) -> list[Any]:
    """Commit ``drafts`` at once while a first commit is in flight, so that they share the next slot."""
    ahead = stage.does(draft(player, "first"))
    first = player.does(lane_of(player).commit(ahead))
    stage.sim.run(seconds=0.0)
    actors = []
    for one in drafts:
        actors.append(player.does(lane_of(player).commit(one)))
        stage.sim.run(seconds=0.0)
    stage.ends(first)
    for actor in actors:
        stage.sim.run(seconds=600, until=actor)
    return [actor.error or actor.result for actor in actors]


def test_disjoint_drafts_share_one_slot() -> None:
    stage = Stage()
    player = stage.player("a")
    drafts = [stage.does(draft(player, f"k{n}")) for n in range(5)]
    done = start_together(stage, player, drafts)
    assert {one.slot for one in done} == {2}
    assert {one.shared_by for one in done} == {5}
    assert [commit.footprint for commit in slot(stage, 2).header.commits] == [(f"k{n}",) for n in range(5)]


def test_of_drafts_that_meet_one_lands_and_the_others_go_back() -> None:
    stage = Stage()
    player = stage.player("a")
    drafts = [stage.does(draft(player, *keys)) for keys in [("x",), ("y",), ("x", "z"), ("w",)]]
    done = start_together(stage, player, drafts)
    assert [type(one) for one in done] == [Committed, Committed, CommitConflict, Committed]
    assert (done[0].slot, done[1].slot, done[3].slot) == (2, 2, 3)


def test_a_draft_that_no_reader_could_decode_is_refused_alone() -> None:
    stage = Stage()
    player = stage.player("a")
    bad = stage.does(draft(player, "bad"))
    unreadable = [Record("bad", b"short", OPAQUE, 0, b"")]
    bad = msgspec.structs.replace(bad, build=lambda _slot, _start: unreadable)
    outcomes = start_together(stage, player, [stage.does(draft(player, "a")), bad, stage.does(draft(player, "b"))])
    assert [type(one) for one in outcomes] == [Committed, Misuse, Committed]
    assert len(slot(stage, 2).records) == 2


def test_a_batch_has_a_bound_in_bytes_and_nobody_pays_for_another() -> None:
    stage = Stage()
    player = stage.player("a")
    big = b"x" * (3 << 20)
    drafts = [stage.does(draft(player, f"k{n}", data=big)) for n in range(6)]
    done = start_together(stage, player, drafts)
    assert all(isinstance(one, Committed) for one in done), done
    assert sorted({one.slot for one in done}) == [2, 3, 4]
    with pytest.raises(TooLarge):
        stage.does(commit(player, "huge", data=b"x" * (17 << 20)))


def test_a_neighbour_is_passed_and_counted_a_conflict_is_not() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    near, far = stage.does(draft(one, "a")), stage.does(draft(one, "b"))
    stage.does(commit(two, "b"))
    stage.does(commit(two, "c"))
    assert stage.does(lane_of(one).commit(near)).neighbours == 2
    with pytest.raises(CommitConflict):
        stage.does(lane_of(one).commit(far))


@pytest.mark.parametrize("changed", [True, False])
def test_slots_that_are_not_known_are_passed_by_the_versions(changed: bool) -> None:
    """Too many slots, or folded ones: the footprint is read again."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    held = stage.does(draft(one, "a", "b"))
    stage.does(commit(two, "b" if changed else "c"))
    stage.compact(two)
    stage.does(commit(two, "d"))
    stage.does(one.env.sleep(21))  # what the lane knew is too old to go by
    if changed:
        with pytest.raises(CommitConflict):
            stage.does(lane_of(one).commit(held))
    else:
        assert stage.does(lane_of(one).commit(held)).slot == 3


def test_weighing_one_draft_anew_weighs_its_companions_too() -> None:
    """A look taken for one draft moves the tail: a companion found good before it may be in conflict after it."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(commit(two, "b"))
    good = stage.does(draft(one, "a"))
    odd = stage.does(draft(one, "b", series="b"))  # slot 1 is not known here: weighing it takes a look
    ahead = stage.does(draft(one, "first"))
    foreign = stage.does(draft(two, "a"))
    lane, actors = lane_of(one), []
    for each in (ahead, good, odd):
        actors.append(one.does(lane.commit(each)))
        stage.sim.run(seconds=0.0)

    def stop(request: Request) -> None:
        if isinstance(request, List):  # the look: before it is carried out, somebody else commits to "a"
            one.hook = None
            one.process.pause(5)

    one.hook = stop
    stage.ends(actors[0])
    stage.sim.run(seconds=0.1)
    assert one.hook is None
    assert stage.does(lane_of(two).commit(foreign)).slot == 3
    for actor in actors:
        stage.sim.run(seconds=60, until=actor)
    assert isinstance(actors[1].error, CommitConflict)
    assert actors[2].result.slot == 4


class Late:
    """Delays one player's create of a lane slot: before its effect, or its answer."""

    def __init__(self, player: Player, *, answer_s: float = 0.0, effect_s: float = 0.0) -> None:
        self.player = player
        self.inner = player.sim_store.inner
        self.answer_s, self.effect_s = answer_s, effect_s
        self.armed = True
        player.sim_store.inner = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def put(self, name: str, body: Any, when: Any) -> Any:
        late = self.armed and f"/log/{COMMIT_LANE}/" in name and isinstance(when, Create)
        if late:
            self.armed = False
            await self.player.env.sleep(self.effect_s)
        stored = await self.inner.put(name, body, when)
        if late:
            await self.player.env.sleep(self.answer_s)
            stored = type(stored)(stored.etag, await self.inner.now())
        return stored


def test_a_late_answer_is_checked_and_counts_when_nobody_was_there() -> None:
    stage = Stage()
    player = stage.player("a")
    Late(player, answer_s=25)
    assert stage.does(commit(player, "k")).slot == 1
    roots = [name for verb, name in player.counting.names if name == "ops/root" and verb == "get"]
    assert len(roots) >= 2


def test_a_late_answer_after_a_fold_finds_its_write_id_in_the_root() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    Late(one, answer_s=120)
    late = one.does(commit(one, "k"))
    stage.sim.run(seconds=1)
    stage.sweep_log(two)
    assert stage.ends(late).slot == 1


def brought_back(stage: Stage, one: Player, two: Player) -> Any:
    """``one`` stalls before its create of slot 1; meanwhile slot 1 is used by ``two``, folded and deleted."""
    Late(one, effect_s=400)
    late = one.does(commit(one, "k", data=b"late"))
    stage.sim.run(seconds=1)
    assert stage.does(commit(two, "k", data=b"first")).slot == 1
    stage.does(commit(two, "other"))
    stage.sweep_log(two)
    assert not [name for name in stage.names() if f"/log/{COMMIT_LANE}/" in name]
    return late


def test_a_slot_brought_back_by_a_stalled_writer_is_inert() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    late = brought_back(stage, one, two)
    with pytest.raises(CommitConflict):
        stage.ends(late)
    assert f"ops/log/{COMMIT_LANE}/{1:016x}" in stage.names()
    record = stage.does(read(two, "k"))
    assert record.value == b"first"
    stage.does(two.env.sleep(120))
    stage.sweep_log(two)
    assert f"ops/log/{COMMIT_LANE}/{1:016x}" not in stage.names()


async def read(player: Player, key: str) -> Any:
    return await (await player.ns.snapshot()).record(key)


def test_without_the_late_check_an_acknowledged_commit_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with the rule off: it is acknowledged, and is nowhere."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    monkeypatch.setattr("swampstore.protocols.commit.LANE_TAIL_AGE_S", 1e9)
    late = brought_back(stage, one, two)
    assert stage.ends(late).slot == 1
    assert stage.does(read(two, "k")).value == b"first"


def test_a_slot_found_late_says_nothing_of_what_was_in_it() -> None:
    """A third process whose own create stalls meets the slot that was brought back: what lies there is not what counts."""
    stage = Stage()
    one, two, three = stage.player("one"), stage.player("two"), stage.player("three")
    late = brought_back(stage, one, two)
    held = Late(three, effect_s=500)
    update = three.does(lane_of(three).commit(stage.does(stale(three, "other"))))
    stage.sim.run(seconds=1)
    assert not update.done
    stage.sim.run(seconds=600, until=late)
    assert isinstance(late.error, CommitConflict)
    with pytest.raises(CommitConflict):  # "other" was written in slot 2 by two, which three has not seen
        stage.ends(update)
    assert not held.armed


async def stale(player: Player, key: str) -> Draft:
    """A draft as of before anything: tail 0, nothing seen, but a list that began just now."""
    made = await draft(player, key)
    from swampstore.env.clock import Span

    lane_of(player)._tail = 0
    span = Span(player.env)
    lane_of(player)._fresh = span
    return Draft(made.commit, made.build, {key: None}, 0, span, size=1)


def test_a_late_answer_of_a_slot_too_old_to_tell_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    monkeypatch.setattr("swampstore.workers.fold.SHARED_LANE_MEMORY", 2, raising=False)
    monkeypatch.setattr("swampstore.values.root.SHARED_LANE_MEMORY", 2, raising=False)
    Late(one, answer_s=300)
    late = one.does(commit(one, "k"))
    stage.sim.run(seconds=1)
    for number in range(5):
        stage.does(commit(two, f"o{number}"))
    stage.sweep_log(two)
    with pytest.raises(AmbiguousAppend) as caught:
        stage.ends(late)
    error = caught.value
    assert (error.lane, error.slot) == (COMMIT_LANE, 1)
    assert stage.does(resolve(two.ns.place, two.ns.register, error.lane, error.slot, error.write_id)) is None
