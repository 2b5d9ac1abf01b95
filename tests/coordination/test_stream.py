"""Streams: one winner a tail, what was missed, tails for ever, following, limits."""

from __future__ import annotations

from typing import Any

import pytest

import swampstore
from swampstore.errors import BadName, FenceConflict, Misuse, TooLarge
from swampstore.limits import DELTA_BYTES, MISSED_RECORDS, STREAM_NAME_BYTES, STREAM_RECORDS
from swampstore.protocols.commit import CommitLane
from swampstore.protocols.stream import EMPTY, Stream, StreamAck, _check_records
from swampstore.testing.wrappers import CountingStore
from swampstore.values.segment import encode_readable
from tests.coordination.support import Player, Stage


def data(records: list[Any]) -> list[bytes]:
    return [record.data for record in records]


def one_round(seed: int, holders: int = 3) -> list[Any]:
    """``holders`` processes hold the same tail and append at once, on random schedules; the outcomes, and the records."""
    stage = Stage(seed)
    players = [stage.player(f"p{number}") for number in range(holders)]
    first = stage.does(players[0].ns.open_stream("run").append([b"start"]))
    actors = [
        player.does(player.ns.open_stream("run").append([b"%d" % number], expected_tail=first.tail))
        for number, player in enumerate(players)
    ]
    for actor in actors:
        stage.sim.run(seconds=60, until=actor)
    records = stage.does(players[0].ns.open_stream("run").read())
    return [actor.error or actor.result for actor in actors] + [records]


@pytest.mark.parametrize("block", range(4))
def test_exactly_one_of_the_holders_of_a_tail_wins(block: int) -> None:
    """1,000 rounds in four blocks."""
    for seed in range(250 * block, 250 * (block + 1)):
        *outcomes, records = one_round(seed)
        won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, StreamAck)]
        assert len(won) == 1, f"seed {seed}"
        assert data(records) == [b"start", b"%d" % won[0]]
        for outcome in outcomes:
            if isinstance(outcome, FenceConflict):
                assert outcome.current == records[-1].position
                assert data(outcome.missed) == [b"%d" % won[0]]
            else:
                assert isinstance(outcome, StreamAck)


def test_without_the_fence_the_stale_decisions_land(monkeypatch: pytest.MonkeyPatch) -> None:
    async def always(self: CommitLane, one: Any) -> bool:
        return True

    monkeypatch.setattr(CommitLane, "_may_follow", always)
    wrong = sum(len(one_round(seed)[-1]) > 2 for seed in range(100))
    assert wrong >= 95


def test_a_conflict_tells_what_was_missed() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    mine, theirs = one.ns.open_stream("run"), two.ns.open_stream("run")
    tail = stage.does(mine.append([b"a"])).tail
    stage.does(theirs.append([b"b", b"c"]))
    last = stage.does(theirs.append([b"d"]))
    with pytest.raises(FenceConflict) as caught:
        stage.does(mine.append([b"x"], expected_tail=tail))
    error = caught.value
    assert error.describe()["expected"] == tail
    assert error.describe()["current"] == last.tail
    assert data(error.missed) == [b"b", b"c", b"d"]
    assert stage.does(mine.append([b"x"], expected_tail=error.current)).tail > last.tail


def test_too_much_missed_is_not_carried() -> None:
    stage = Stage()
    one = stage.player("one")
    stream = one.ns.open_stream("run")
    stage.does(stream.append([b"x"] * (MISSED_RECORDS + 1)))
    with pytest.raises(FenceConflict) as caught:
        stage.does(stream.append([b"y"], expected_tail=EMPTY))
    assert caught.value.missed is None


@pytest.mark.parametrize("warm", [True, False])
def test_the_position_inside_a_batch_is_no_tail(warm: bool) -> None:
    """Whoever has read the first of three records of one append has not seen the other two."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    ack = stage.does(one.ns.open_stream("run").append([b"a", b"b", b"c"]))
    stream = (one if warm else two).ns.open_stream("run")
    if warm:
        stage.does(stream.append([b"z"]))
        ack = stage.does(stream.append([b"a", b"b", b"c"]))
    for position in ack.positions[:-1]:
        with pytest.raises(FenceConflict):
            stage.does(stream.append([b"x"], expected_tail=position))
    stage.does(stream.append([b"x"], expected_tail=ack.tail))


def test_a_tail_of_another_stream_or_of_the_future_is_no_tail() -> None:
    stage = Stage()
    one = stage.player("one")
    names = [name for name in (f"s{number}" for number in range(40)) if lane(one, name) == lane(one, "s0")][:2]
    mine, other = (one.ns.open_stream(name) for name in names)
    stage.does(mine.append([b"a"]))
    foreign = stage.does(other.append([b"b"])).tail
    for tail in (foreign, "f" * 22, "0" * 21 + "1", "0" * 15 + "9" + "0" * 6):
        with pytest.raises(FenceConflict):
            stage.does(mine.append([b"x"], expected_tail=tail))
    assert data(stage.does(mine.read())) == [b"a"]


def lane(player: Player, name: str) -> str:
    return player.ns.open_stream(name)._lane.lane


def test_empty_never_comes_back() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stream = one.ns.open_stream("run")
    assert stage.does(stream.tail()) == EMPTY == swampstore.EMPTY
    stage.does(stream.append([b"a"], expected_tail=EMPTY))
    for _ in range(3):
        for player in (one, two, stage.player("new")):
            with pytest.raises(FenceConflict):
                stage.does(player.ns.open_stream("run").append([b"b"], expected_tail=EMPTY))
        stage.sweep_log(two)
    assert stage.does(stream.tail()) != EMPTY


def test_tails_and_records_outlive_fold_merge_and_sweep() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    mine = one.ns.open_stream("run")
    tails = [stage.does(mine.append([b"%d" % number])).tail for number in range(3)]
    stage.sweep_log(two)
    tails += [stage.does(mine.append([b"%d" % number])).tail for number in range(3, 6)]
    for player in (one, two, stage.player("new")):
        stream = player.ns.open_stream("run")
        assert stage.does(stream.tail()) == tails[-1]
        assert data(stage.does(stream.read(after=tails[1]))) == [b"2", b"3", b"4", b"5"]
        assert data(stage.does(stream.read(limit=2))) == [b"0", b"1"]
    for _ in range(2):
        with pytest.raises(FenceConflict) as caught:
            stage.does(mine.append([b"x"], expected_tail=tails[2]))
        assert data(caught.value.missed) == [b"3", b"4", b"5"]
        stage.sweep_log(two)
    stage.does(stage.player("late").ns.open_stream("run").append([b"6"], expected_tail=tails[-1]))


@pytest.mark.parametrize("seed", range(5))
def test_a_follower_misses_nothing_and_sees_it_in_order(seed: int) -> None:
    """Writers in bad weather beside a follower and a compactor: what it saw is what there is."""
    from swampstore.errors import SwampError
    from swampstore.testing.sim_store import Faults
    from swampstore.workers.compactor import Compactor

    stage = Stage(seed, Faults(lost=0.05, refused=0.05, busy=0.05))
    reader = stage.player("reader", Faults(short=0.3))
    seen: list[Any] = []

    async def follow() -> None:
        async for record in reader.ns.open_stream("run").follow(seconds=120):
            seen.append(record)  # noqa: PERF401 (a follower that fails half-way has seen what it has seen)

    async def write(player: Player, mine: int) -> None:
        for number in range(8):
            try:
                await player.ns.open_stream("run").append([b"%d-%d" % (mine, number)])
            except SwampError:
                continue
            await player.env.sleep(stage.sim.dice.random() * 3)

    folder = stage.player("folder", Faults())
    folder.does(Compactor(folder.ns.place, folder.ns.register).run(folder.env.event()))
    following = reader.does(follow())
    for mine in range(3):
        player = stage.player(f"w{mine}")
        player.does(write(player, mine))
    stage.ends(following)
    assert seen == stage.does(stage.player("end", Faults()).ns.open_stream("run").read())
    assert len(seen) > 10


def test_following_a_long_stream_reads_it_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    one = stage.player("one")
    stream = one.ns.open_stream("run")
    for _ in range(3):
        stage.does(stream.append([b"x"] * 900))
    asked: list[Any] = []
    read = Stream.read

    async def reading(self: Stream, *, after: str = EMPTY, limit: int | None = None) -> Any:
        asked.append(limit)
        return await read(self, after=after, limit=limit)

    monkeypatch.setattr(Stream, "read", reading)

    async def follow() -> int:
        return len([record async for record in stream.follow(seconds=1)])

    assert stage.does(follow()) == 2700
    assert set(asked) == {1000}


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "error"),
    [
        ([], TooLarge),
        ([b"x"] * (STREAM_RECORDS + 1), TooLarge),
        ([b"x" * (DELTA_BYTES + 1)], TooLarge),
        ([b"x" * DELTA_BYTES] * 5, TooLarge),
        (b"bytes", Misuse),
        ("text", Misuse),
        ([5], Misuse),
        ([None], Misuse),
        (5, Misuse),
        (None, Misuse),
        (["\ud800"], Misuse),
    ],
)
def test_bad_records_are_refused_before_anything_is_sent(records: Any, error: type[Exception]) -> None:
    stage = Stage()
    one = stage.player("one")
    with pytest.raises(error):
        stage.does(one.ns.open_stream("run").append(records))
    assert one.counting.total == 0


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "..", "a/../b", "a\0b", "a\\b", "x" * (STREAM_NAME_BYTES + 1), "\ud800", None, 5, b"x"],
)
def test_hostile_names_are_refused(name: Any) -> None:
    stage = Stage()
    with pytest.raises(BadName):
        stage.player("one").ns.open_stream(name)


@pytest.mark.parametrize("name", ["é" * 250, "a b\n\x1b[2J", "tail", "s", "0" * 22, "run/1", "run"])
def test_any_other_name_is_a_stream_of_its_own(name: str) -> None:
    stage = Stage()
    one = stage.player("one")
    streams = [one.ns.open_stream(text) for text in (name, name + "x", name + "/tail")]
    for number, stream in enumerate(streams):
        stage.does(stream.append([b"%d" % number]))
    for _ in range(2):
        assert [data(stage.does(stream.read())) for stream in streams] == [[b"0"], [b"1"], [b"2"]]
        stage.sweep_log(one)
    assert [entry.key for entry in stage.does(one.ns.snapshot()).overlay.values() if "\0" not in entry.key] == []


class Lookalike(bytes):
    """Bytes that claim to be more than they are."""

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("name", ["é" * 250, "a b\n\x1b[2J", "\U0010ffff", "run"])
@pytest.mark.parametrize(("slot", "start"), [(1, 0), ((1 << 40) - 1, 9), (1 << 40, 0), ((1 << 64) - 1, (1 << 24) - 9)])
def test_readers_take_whatever_a_stream_makes(name: str, slot: int, start: int) -> None:
    """So a commit need not look: what one caller hands in never breaks the slot that others share."""
    stream = Stage().player("one").ns.open_stream(name)
    given: list[Any] = [b"", b"\xc1", bytes(range(256)), bytearray(b"x"), memoryview(b"y"), "é\0", Lookalike(b"z")]
    made = stream._records(_check_records(given), slot, start)
    encode_readable(made)
    positions = [f"{slot:016x}{start + index:06x}" for index in range(len(given))]
    assert [record.key.split("\0")[-1] for record in made] == [*positions, "tail"]
    assert [record.version[-4:] for record in made[:-1]] == [(start + index).to_bytes(4) for index in range(len(given))]
    assert made[-1].value.decode() == positions[-1]


@pytest.mark.parametrize("tail", ["", "x" * 22, "0" * 21, 0, b"0" * 22, "0" * 21 + "F"])
def test_what_is_no_tail_is_refused(tail: Any) -> None:
    stage = Stage()
    stream = stage.player("one").ns.open_stream("run")
    with pytest.raises(Misuse):
        stage.does(stream.append([b"x"], expected_tail=tail))
    with pytest.raises(Misuse):
        stage.does(stream.read(after=tail))


@pytest.mark.parametrize("limit", [0, -1, True, "5"])
def test_an_absurd_limit_is_refused(limit: Any) -> None:
    stage = Stage()
    with pytest.raises(Misuse):
        stage.does(stage.player("one").ns.open_stream("run").read(limit=limit))


# --- costs ------------------------------------------------------------------------------------------------------------


def requests(player: Player) -> dict[str, int]:
    counted = {verb: count for verb, count in player.counting.requests.items() if count}
    player.counting.reset()
    return counted


def test_what_appends_cost() -> None:
    stage = Stage()
    one = stage.player("one")
    assert isinstance(one.counting, CountingStore)
    stream = one.ns.open_stream("run")
    stage.does(stream.append([b"a"]))
    assert requests(one) == {"list": 2, "get": 1, "create": 1}  # a namespace without a root is listed twice
    ack = stage.does(stream.append([b"b"]))
    assert requests(one) == {"create": 1}
    for _ in range(3):
        ack = stage.does(stream.append([b"c"], expected_tail=ack.tail))
        assert requests(one) == {"create": 1}  # the tail is known: nothing is read
    two = stage.player("two")
    stage.does(two.ns.open_stream("run").append([b"d"], expected_tail=ack.tail))
    assert requests(two)["create"] == 1
    assert requests(two) == {}


def test_many_small_streams_cost_nothing_in_the_root() -> None:
    stage = Stage()
    one = stage.player("one")
    sizes = []
    for number in range(300):
        stage.does(one.ns.open_stream(f"run/{number}").append([b"x"]))
        if number in (99, 299):
            stage.sweep_log(one)
            sizes.append(len(stage.body("ops/root")))
    assert sizes[1] < sizes[0] + 3000  # the last slots of the lanes, nothing by stream
