"""Appends that share a slot of their lane: whole, apart, and each with a tail of its own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from swampstore.errors import FenceConflict
from swampstore.protocols import commit
from swampstore.protocols.stream import EMPTY, Stream, StreamAck
from tests.coordination.support import Player, Stage
from tests.coordination.test_stream import data, lane


def at_once(stage: Stage, player: Player, stream: Stream, bodies: Sequence[bytes]) -> list[StreamAck]:
    """Append each of ``bodies`` while the ones before are on their way."""
    actors = []
    for body in bodies:
        actors.append(player.does(stream.append([body])))
        stage.sim.run(seconds=0.0)
    return [stage.ends(actor) for actor in actors]


def test_a_place_before_the_first_slot_is_no_empty_stream() -> None:
    stage = Stage()
    player = stage.player("one")
    with pytest.raises(FenceConflict):
        stage.ends(player.does(player.ns.open_stream("run").append([b"x"], expected_tail=EMPTY[:-1] + "1")))


def test_a_fenced_append_does_not_share_a_slot_with_what_moves_its_tail() -> None:
    stage = Stage()
    one = stage.player("one")
    names = [name for name in (f"s{number}" for number in range(40)) if lane(one, name) == lane(one, "s0")][:2]
    stream, neighbour = (one.ns.open_stream(name) for name in names)
    tail = stage.does(stream.append([b"a"])).tail
    actors = []
    for append in (neighbour.append([b"n"]), stream.append([b"b"]), stream.append([b"c"], expected_tail=tail)):
        actors.append(one.does(append))
        stage.sim.run(seconds=0.0)
    for actor in actors[:2]:
        stage.ends(actor)
    with pytest.raises(FenceConflict):
        stage.ends(actors[2])
    assert data(stage.does(stream.read())) == [b"a", b"b"]


def test_what_is_learned_from_a_slot_of_others_tells_their_appends_apart() -> None:
    """Who finds the slot taken knows which of the appends in it was the last of the stream."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    names = [name for name in (f"s{number}" for number in range(40)) if lane(one, name) == lane(one, "s0")][:2]
    stream, neighbour = one.ns.open_stream(names[0]), two.ns.open_stream(names[1])
    stage.does(neighbour.append([b"n"]))
    stage.does(stream.append([b"warm"]))
    acks = at_once(stage, one, stream, [b"%d" % number for number in range(3)])
    assert acks[1].slot == acks[2].slot
    stage.does(neighbour.append([b"m"]))
    for number, wins in ((1, False), (2, True)):
        append = two.ns.open_stream(names[0]).append([b"x"], expected_tail=acks[number].tail)
        if wins:
            stage.does(append)
        else:
            with pytest.raises(FenceConflict):
                stage.does(append)


@pytest.mark.parametrize(
    "limit",
    [
        ("BATCH_BYTES", 3 * 2000),
        ("SEGMENT_DELTAS", 3 * 2),
        ("SEGMENT_HEADER_BYTES", 1000 + 3 * (commit._COMMIT_OVERHEAD + 100)),
    ],
)
def test_appends_share_a_slot_only_as_far_as_a_segment_holds_them(
    limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reader decodes a larger one: what was acknowledged in it would be gone."""
    monkeypatch.setattr(commit, *limit)
    stage = Stage()
    player = stage.player("one")
    stream = player.ns.open_stream("run")
    stage.does(stream.append([b"warm"]))
    acks = at_once(stage, player, stream, [b"x" * 1000] * 7)
    assert [ack.shared_by for ack in acks] == [1, 3, 3, 3, 3, 3, 3]


def test_appends_that_share_a_slot_do_not_share_a_tail() -> None:
    stage = Stage()
    one = stage.player("one")
    stream = one.ns.open_stream("run")
    stage.does(stream.append([b"warm"]))
    acks = at_once(stage, one, stream, [b"%d" % number for number in range(4)])
    assert len({ack.slot for ack in acks}) == 2  # one alone, three together
    assert len({ack.tail for ack in acks}) == 4
    last = max(acks, key=lambda ack: ack.tail)
    for ack in acks:
        if ack is not last:
            with pytest.raises(FenceConflict):
                stage.does(stream.append([b"x"], expected_tail=ack.tail))
    stage.does(stream.append([b"x"], expected_tail=last.tail))
