"""What a driver costs its own process, and how many callers share a write."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from bench.jobs.append import PAYLOAD

BODY = PAYLOAD * 5


def cost(
    url: str, driver: str, asynchronous: bool, callers: int, puts: int, pages: int
) -> Generator[None, None, dict[str, Any]]:
    """CPU microseconds of one conditional put among ``callers`` at once, and of one page of a listing, one at a time."""
    from swampstore.env.aio import AioEnv
    from swampstore.env.blocking import BlockingEnv
    from swampstore.stores.base import Create
    from swampstore.stores.open import open_store

    def opened() -> Any:
        env = AioEnv() if asynchronous else BlockingEnv()
        return open_store(url, env=env, asynchronous=asynchronous, driver=driver)

    async def put(store: Any, number: int) -> None:
        for turn in range(puts // callers):
            await store.put(f"log/w0123456789/{number:04x}{turn:012x}", BODY, Create())

    async def page(store: Any) -> None:
        for _ in range(pages):
            if len((await store.list("log/")).items) != 1000:
                raise AssertionError("the page lacks names")

    yield
    measure = _in_tasks if asynchronous else _in_threads
    return measure(opened, put, page, callers, puts // callers * callers, pages)


Work = Callable[..., Coroutine[Any, Any, None]]


def _in_threads(
    opened: Callable[[], Any], put: Work, page: Work, callers: int, puts: int, pages: int
) -> dict[str, Any]:
    from swampstore.env.blocking import run

    store = opened()
    _at_once(lambda number: run(store.put(f"warm/{number}", b"1", _overwrite())), callers)
    began, wall = time.process_time(), time.perf_counter()
    _at_once(lambda number: run(put(store, number)), callers)
    spent, took = time.process_time() - began, time.perf_counter() - wall
    run(page(store))
    began = time.process_time()
    run(page(store))
    listed = time.process_time() - began
    run(store.close())
    return {"put_us": spent / puts * 1e6, "page_ms": listed / pages * 1e3, "per_s": puts / took}


def _in_tasks(opened: Callable[[], Any], put: Work, page: Work, callers: int, puts: int, pages: int) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        store = opened()
        await asyncio.gather(*(store.put(f"warm/{number}", b"1", _overwrite()) for number in range(callers)))
        began, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(put(store, number) for number in range(callers)))
        spent, took = time.process_time() - began, time.perf_counter() - wall
        await page(store)
        began = time.process_time()
        await page(store)
        listed = time.process_time() - began
        await store.close()
        return {"put_us": spent / puts * 1e6, "page_ms": listed / pages * 1e3, "per_s": puts / took}

    return asyncio.run(work())


def _overwrite() -> Any:
    from swampstore.stores.base import Overwrite

    return Overwrite()


def _at_once(work: Callable[[int], object], callers: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def grouped(url: str, namespace: str, callers: int, each: int) -> Generator[None, None, dict[str, Any]]:
    """``each`` appends in a row from each of ``callers`` threads: ms of each, how many shared a write, requests."""
    from bench.jobs.coordination import Crowd
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish
    from swampstore.values.deltas import Put

    core, space, counts = open_counted(url, namespace)
    finish(space.put(Put(key="bench/first", data=PAYLOAD)))
    counts.reset()

    def work(number: int) -> list[float]:
        took = []
        for turn in range(each):
            began = time.perf_counter()
            finish(space.put(Put(key=f"bench/{number}/{turn}", data=PAYLOAD)))
            took.append((time.perf_counter() - began) * 1000)
        return took

    crowd = Crowd(callers, work)
    yield
    took = [ms for one in crowd.go() for ms in one]
    asked = dict(counts.requests)
    finish(core.close())
    return {"ms": took, "requests": asked}


def grouped_tasks(url: str, namespace: str, callers: int, each: int) -> Generator[None, None, dict[str, Any]]:
    """The same from tasks of one asyncio client; writes are counted by their slots."""
    from swampstore.client.aio import open_async

    async def work() -> dict[str, Any]:
        async with await open_async(url) as store:
            space = store.namespace(namespace)
            await space.put("bench/first", PAYLOAD)
            slots: set[tuple[str, int]] = set()
            took: list[float] = []

            async def one(number: int) -> None:
                for turn in range(each):
                    began = time.perf_counter()
                    ack = await space.put(f"bench/{number}/{turn}", PAYLOAD)
                    took.append((time.perf_counter() - began) * 1000)
                    slots.add((ack.lane, ack.slot))

            await asyncio.gather(*(one(number) for number in range(callers)))
        return {"ms": took, "requests": {"create": len(slots)}}

    yield
    return asyncio.run(work())
