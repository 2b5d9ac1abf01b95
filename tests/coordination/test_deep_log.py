"""A namespace with no compactor, whose only work is commits in shared lanes: its own writers keep the log short."""

from __future__ import annotations

import pytest

from swampstore.client.aio_shared import held_lock
from swampstore.limits import LEADER_TTL_MS
from tests.coordination.support import Player, Stage

_DEEP = 16


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swampstore.client.core.HELP_FOLD_SEGMENTS", _DEEP)
    monkeypatch.setattr("swampstore.client.core.HELP_EVERY_COMMITS", 4)


async def _depth(player: Player) -> int:
    await player.ns.reader.open()
    return player.ns.reader.log_depth


async def _signals(player: Player, times: int) -> None:
    stream = player.ns.open_stream("run")
    for number in range(times):
        if number % 2:
            await stream.update(lambda _: [b"decided"])
        else:
            await stream.append([b"seen"])
        await player.env.sleep(LEADER_TTL_MS / 1000 / 16)


async def _counts(player: Player, times: int) -> None:
    for _ in range(times):
        await player.ns.update(["n"], lambda held: {"n": b"%d" % (int(held["n"].data or b"0") + 1)})
        await player.env.sleep(LEADER_TTL_MS / 1000 / 16)


async def _locked(player: Player, times: int) -> None:
    for number in range(times // 2):  # each commits the lock's mark, and what is written under it
        async with held_lock(player.ns, "deploy", None, "") as lock:
            await lock.put("n", b"%d" % number)
        await player.env.sleep(LEADER_TTL_MS / 1000 / 16)


WORK = [_signals, _counts, _locked]


@pytest.mark.parametrize("work", WORK)
def test_who_commits_in_shared_lanes_folds_when_nobody_leads(work) -> None:  # type: ignore[no-untyped-def]
    stage = Stage()
    player = stage.player("one")
    stage.ends(player.does(work(player, 150)))
    assert stage.ends(player.does(_depth(player))) <= 4 * _DEEP
    assert player.ns.register.last is not None
    assert player.ns.register.last.root.version > 1


@pytest.mark.parametrize("work", WORK)
def test_without_that_the_log_only_grows(work, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    async def nothing(_: object) -> None:
        """Leave it to others."""

    monkeypatch.setattr("swampstore.client.core.CoreNamespace.help_if_deep", nothing)
    stage = Stage()
    player = stage.player("one")
    stage.ends(player.does(work(player, 150)))
    assert stage.ends(player.does(_depth(player))) == 150


def test_a_short_log_costs_a_commit_nothing_more() -> None:
    stage = Stage()
    player = stage.player("one")
    stage.ends(player.does(_signals(player, 4)))
    player.counting.reset()
    stage.ends(player.does(player.ns.open_stream("run").append([b"x"])))
    assert player.counting.total <= 3  # list, root, create
