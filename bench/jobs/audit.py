"""Audit records: writes beside a held lock and a running merge, through an outage, and a million of them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from typing import Any

from bench.jobs.until import input_ended

_TOPIC = "decisions"
_DAY_MS = 86_400_000


def hold(url: str, namespace: str) -> Generator[None, None, None]:
    """Hold a lock from the start-up on, until standard input ends."""
    import swampstore

    with swampstore.open(url, create=True) as store, store.namespace(namespace).lock("deploy"):
        yield
        sys.stdin.read()


def merge(url: str, namespace: str) -> Generator[None, None, int]:
    """Put and compact without a pause until standard input ends; how many merges that were."""
    import swampstore

    store = swampstore.open(url, create=True)
    space = store.namespace(namespace)
    space.put_many({f"k/{number:06d}": b"x" for number in range(5000)})
    space.compact()
    yield
    ended = input_ended()
    rounds = 0
    while not ended.is_set():
        space.put_many({f"k/{(number * 7919 + rounds) % 200_000:06d}": b"y" for number in range(2000)})
        rounds += space.compact().merge.published
    store.close()
    return rounds


def write(url: str, namespace: str, count: int, seconds: float) -> Generator[None, None, dict[str, Any]]:
    """``count`` single writes spread over ``seconds``; ms of each."""
    import swampstore

    with swampstore.open(url, create=True) as store:
        topic = store.namespace(namespace).audit(_TOPIC)
        topic.write({"n": -1})
        yield
        began, took, spooled = time.perf_counter(), [], 0
        for number in range(count):
            time.sleep(max(began + seconds * number / count - time.perf_counter(), 0))
            start = time.perf_counter()
            spooled += topic.write({"n": number, "provider": "a", "allowed": True}).spooled
            took.append((time.perf_counter() - start) * 1000)
        found = len(list(topic.read()))
    return {"ms": took, "spooled": spooled, "found": found}


def outage(url: str, namespace: str, rate: float, seconds: float, wait_s: float) -> Generator[None, None, Any]:
    """``rate`` writes a second by some threads; what became of each, and when the spool was empty (monotonic)."""
    import swampstore

    store = swampstore.open(url)
    space = store.namespace(namespace)
    topic = space.audit(_TOPIC)
    topic.write({"n": -1})
    threads, mutex = 8, threading.Lock()
    acks: list[tuple[float, float, str, bool]] = []
    errors: list[str] = []
    yield
    began = time.monotonic()

    def work(first: int) -> None:
        for number in range(first, int(rate * seconds), threads):
            time.sleep(max(began + number / rate - time.monotonic(), 0))
            start = time.monotonic()
            try:
                ack = topic.write({"n": number})
            except swampstore.SwampError as error:
                errors.append(repr(error))
                continue
            with mutex:
                acks.append((start, time.monotonic(), ack.ids[0], ack.spooled))

    workers = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
    for one in workers:
        one.start()
    drained, emptied = 0.0, False
    most = 0
    deadline = began + seconds + wait_s
    while time.monotonic() < deadline:
        status = space.spool_status()
        waiting = status.writes if status is not None else 0
        most = max(most, waiting)
        if waiting == 0 and most and not emptied:
            drained, emptied = time.monotonic(), True
        emptied = emptied and waiting == 0
        if emptied and not any(one.is_alive() for one in workers):
            break
        time.sleep(0.05)
    for one in workers:
        one.join()
    store.close()
    return {"acks": acks, "errors": errors, "drained": drained if emptied else 0.0, "most": most}


def found(url: str, namespace: str) -> Generator[None, None, dict[str, Any]]:
    """The ids of all records, as read by time and as committed."""
    import swampstore

    yield
    with swampstore.open(url) as store:
        topic = store.namespace(namespace).audit(_TOPIC)
        return {
            "ids": [record.id for record in topic.read()],
            "commits": sum(len(page.records) for page in topic.follow(seconds=0)),
        }


def million(url: str, namespace: str, count: int, scans: int) -> Generator[None, None, dict[str, Any]]:
    """Write ``count`` records of three topics over two days and archive them; sizes, an hour's query, scans by DuckDB."""
    from pathlib import Path

    import swampstore
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish

    store = swampstore.open(url, create=True)
    space = store.namespace(namespace)
    space.set_audit_format("parquet")
    space.put("k", b"v")
    space.compact()
    root = Path(url) / namespace / "root"
    before, manifest = root.stat().st_size, space.status().manifest_bytes
    yield
    now = int(time.time() * 1000) - 2 * _DAY_MS
    batch, topics = 5000, ("decisions", "scans", "calls")
    began = time.perf_counter()
    for start in range(0, count, batch):
        audit = space.audit(topics[start // batch % 3])
        step = 2 * _DAY_MS / count
        audit.write_many(
            audit.record({"n": n, "provider": "abc"[n % 3], "cost": n % 100, "ok": True}, ts=int(now + n * step))
            for n in range(start, start + batch)
        )
        if start // batch % 20 == 19:
            space.compact()
    space.compact()
    wrote = time.perf_counter() - began
    status = space.status()
    grown = root.stat().st_size - before
    sizes = {"grown": grown, "manifest": status.manifest_bytes - manifest, "records": status.audit}
    files = [str(Path(url) / name) for topic in topics for name in space.audit_files(topic)]
    core, counted, counts = open_counted(url, namespace)
    from swampstore.client.audit import CoreTopic
    from swampstore.env.blocking import each

    middle = now + _DAY_MS // 2
    hour = sum(1 for _ in each(CoreTopic(counted, _TOPIC).read(middle, middle + 3_600_000, None)))
    finish(core.close())
    import duckdb

    rates = []
    listed = ", ".join(f"'{name}'" for name in files)
    query = (
        "select topic, count(*), epoch_ms(min(ts)), epoch_ms(max(ts)), sum(length(record)), max(slot) "
        f"from read_parquet([{listed}], hive_partitioning = false) group by topic"
    )
    for _ in range(scans):
        start_s = time.perf_counter()
        rows = duckdb.sql(query).fetchall()
        rates.append(sum(row[1] for row in rows) / (time.perf_counter() - start_s))
    start_s = time.perf_counter()
    answer = space.audit_sql("select count(*) from audit").rows[0][0]
    asked = time.perf_counter() - start_s
    store.close()
    sizes |= {"files": len(files), "bytes": status.audit_bytes, "sql": answer, "sql_s": asked, "wrote_s": wrote}
    return {**sizes, "hour": hour, "gets": counts.total, "rates": rates}
