"""Calls of a function that does nothing: as it is, decorated with a topic that writes nothing, and with one that does."""

from __future__ import annotations

import time
from collections.abc import Generator


def calls(place: str, kind: str, count: int) -> Generator[None, None, float]:
    """Processor microseconds of one call, its record in a buffered local store (no disk is waited for)."""
    import swampstore
    from swampstore.client.audit_blocking import AuditTopic

    class Nowhere(AuditTopic):
        """Takes records, and that is all: what is left is the decorator."""

        def write(self, *_: object, **__: object) -> None:  # type: ignore[override]
            return None

    store = swampstore.open(f"file://{place}?durability=buffered")
    topic = store.namespace("bench").audit("calls")
    topic.write({"first": 1})

    def choose(region: str) -> dict[str, str]:
        return {"provider": region}

    record = {"call": "choose", "arguments": {"region": "eu"}, "seconds": 0.1, "result": {"provider": "eu"}}
    decorate = {"call": "choose", "arguments": ["region"]}
    audited = swampstore.audited(topic, **decorate)(choose)  # type: ignore[arg-type]
    unwritten = swampstore.audited(Nowhere(topic._core), **decorate)(choose)  # type: ignore[arg-type]
    work = {
        "plain": lambda: choose("eu"),
        "decorated, not written": lambda: unwritten("eu"),
        "a write by hand": lambda: topic.write(record),
        "decorated": lambda: audited("eu"),
    }[kind]
    yield
    began = time.process_time()
    for _ in range(count):
        work()
    spent = time.process_time() - began
    store.close()
    return spent / count * 1e6
