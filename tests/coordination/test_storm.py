"""The storm: signals of many writers into many streams, by fenced updates and blind appends: none lost, none doubled."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.workers.compactor import Compactor
from tests.coordination.support import Stage


@pytest.mark.parametrize(
    ("signals", "streams", "iterations"),
    [(4, 6, 2), pytest.param(10, 200, 8, marks=[pytest.mark.prove, pytest.mark.timeout(1800)])],
)
def test_a_storm_between_processes(signals: int, streams: int, iterations: int) -> None:
    """Every signal is a process; it appends to every stream in every iteration, every other one by a fenced update."""
    stage = Stage(5)

    async def signal(number: int) -> None:
        player = stage.player(f"signal{number}")
        open_streams = [player.ns.open_stream(f"run/{stream}") for stream in range(streams)]
        for iteration in range(iterations):
            for stream in open_streams:
                data = [b"%d-%d" % (number, iteration)]
                if iteration % 2:
                    await stream.update(lambda state, data=data: data, retries=100)  # type: ignore[misc]
                else:
                    await stream.append(data)

    folder = stage.player("folder")
    folder.does(Compactor(folder.ns.place, folder.ns.register).run(folder.env.event()))
    actors = [stage.sim.process(f"s{number}").spawn(signal(number)) for number in range(signals)]
    for actor in actors:
        stage.sim.run(seconds=1e7, steps=100_000_000, until=actor)
        assert actor.error is None
    end = stage.player("end")
    wanted = sorted(b"%d-%d" % (number, iteration) for number in range(signals) for iteration in range(iterations))
    for stream in range(streams):
        records = stage.does(end.ns.open_stream(f"run/{stream}").read())
        assert sorted(record.data for record in records) == wanted
        for number in range(signals):
            mine = [record.data for record in records if record.data.startswith(b"%d-" % number)]
            assert mine == [b"%d-%d" % (number, iteration) for iteration in range(iterations)]


def test_a_storm_of_threads_on_a_local_store(tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        ns = store.namespace("ops")

        def signal(number: int) -> None:
            for iteration in range(4):
                for stream in range(5):
                    ns.stream(f"run/{stream}").append([b"%d-%d" % (number, iteration)])

        threads = [threading.Thread(target=signal, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        wanted = sorted(b"%d-%d" % (number, iteration) for number in range(6) for iteration in range(4))
        for stream in range(5):
            assert sorted(record.data for record in ns.stream(f"run/{stream}").read()) == wanted
        ns.compact()
        assert sorted(record.data for record in ns.stream("run/0").read()) == wanted


def test_the_asyncio_face_of_streams() -> None:
    async def work() -> None:
        async with await swampstore.open_async("memory://storm-aio") as store:
            run = store.namespace("ops").stream("run")

            async def build(view: Any) -> list[bytes]:
                return [b"%d" % len(await view.records())]

            await asyncio.gather(*[run.update(build, retries=100) for _ in range(6)])
            assert [record.data async for record in run.follow(seconds=0.1)] == [b"%d" % n for n in range(6)]
            tail = await run.tail()
            results = await asyncio.gather(
                *[run.append([b"x"], expected_tail=tail) for _ in range(5)], return_exceptions=True
            )
            assert sum(isinstance(one, swampstore.FenceConflict) for one in results) == 4
            assert len(await run.read(after=tail)) == 1

    asyncio.run(work())
