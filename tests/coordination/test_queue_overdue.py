"""Dead holders where nobody stays for a whole TTL: short deadlines, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import DeadlinePassed, QueueFull
from swampstore.limits import TICKET_NOTES, TICKET_TTL_S
from swampstore.values.tickets import QueueRegister, decode_register
from tests.coordination.support import Player, Stage
from tests.coordination.test_queue_objects import counted
from tests.coordination.test_queue_remote import acquired, queue_of

HURRIES: list[dict[str, Any]] = [{"deadline_s": 3}, {"deadline_s": 0}, {"bound": 0}]


async def tried(player: Player, seconds: float, **how: Any) -> tuple[bool, float]:
    """Try every four seconds, ``seconds`` long: whether it was granted (and released), and after how long."""
    began = player.env.boot()
    while player.env.boot() - began < seconds:
        try:
            grant = await acquired(player, **how)
        except (DeadlinePassed, QueueFull):
            await player.env.sleep(4)
            continue
        await grant.release()
        return True, player.env.boot() - began
    return False, seconds


@pytest.mark.parametrize("lived", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("how", HURRIES)
def test_a_dead_holder_is_passed_over_by_those_who_do_not_wait_for_it(how: dict[str, Any], lived: float) -> None:
    stage = Stage(7)
    one, two = stage.player("one"), stage.player("two")
    stage.does(acquired(one))
    stage.does(two.env.sleep(lived))
    one.process.kill()
    granted, seconds = stage.does(tried(two, 120, **how))
    assert granted
    assert seconds < TICKET_TTL_S + 2 + 3 * 7  # found, noted, overdue: some tries apart
    stage.sim.close()


@pytest.mark.parametrize("how", HURRIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_living_holder_is_passed_over_by_nobody(how: dict[str, Any], seed: int) -> None:
    stage = Stage(seed)
    players = [stage.player(name) for name in ("one", "two", "three", "four")]
    stage.does(queue_of(players[0], capacity=2).prepare())
    grants = [stage.does(acquired(player)) for player in players[:2]]
    triers = [player.does(tried(player, 90, **how)) for player in players[2:]]
    for trier in triers:
        assert stage.ends(trier)[0] is False
    for grant in grants:
        stage.does(grant.check())
    stage.does(grants[0].release())
    assert stage.does(tried(players[2], 10, **how))[0]
    stage.sim.close()


def test_one_of_two_dead_is_passed_over_while_the_other_works() -> None:
    stage = Stage()
    one, two, three = (stage.player(name) for name in ("one", "two", "three"))
    stage.does(queue_of(one, capacity=2).prepare())
    stage.does(acquired(one))
    grant = stage.does(acquired(two))
    one.process.kill()
    assert stage.does(tried(three, 60, bound=0))[0]
    stage.does(grant.check())
    stage.sim.close()


def test_a_change_of_the_capacity_takes_the_notes_away() -> None:
    """Who was granted and is not any more owes nothing while it waits."""
    register = QueueRegister("q", b"", 2, 3, (), ((4, 1000), (5, 1000)))
    assert register.resize(2) is register
    assert register.resize(1).noted == ()
    assert register.finish(5).noted == ((4, 1000),)
    assert register.finish(7).noted == register.noted


def test_what_a_refusal_costs() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(queue_of(one, capacity=40).prepare())
    for _ in range(40):
        stage.does(acquired(one))
    found = []
    for _ in range(3):
        with pytest.raises(QueueFull):
            stage.does(acquired(two, bound=0))
        found.append(counted(two))
        stage.does(two.env.sleep(15))
    assert found[0] == {
        "get": 3,
        "list": 1,
        "replace": 1,
    }  # what it always takes (3 requests), one look more, and the notes
    assert found[1:] == [{"get": 3, "list": 1, "head": TICKET_NOTES}] * 2
    register = decode_register(stage.body(queue_of(two).register_name), "r")
    assert [number for number, _ in register.noted] == list(range(1, TICKET_NOTES + 1))
    stage.sim.close()
