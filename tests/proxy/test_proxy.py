"""The fault proxy itself: every fault is what its name says, the seed decides, and what passes is not touched."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.proxy.proxy import InThread, fault_proxy, proxy_program
from tests.proxy.weather import AFTER, BEFORE, CLIMATES, Climate, Fault, Scripted, Seeded
from tests.proxy.wire import Message
from tests.stores.stub_s3 import CarelessS3, Stub, stub_server

SHORT_S, PATIENT_S = 0.3, 60.0
Until = Callable[[], None]
ETAG = {"If-None-Match": "*"}


class Answer:
    """What a client saw of one request: an answer, or the kind of failure. ``until`` waits before it loses patience."""

    def __init__(self, port: int, method: str, path: str, body: bytes = b"", until: Until | None = None) -> None:
        self.status, self.body, self.failed = 0, b"", ""
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENT_S)
        try:
            line.request(method, path, body, ETAG if method == "PUT" else {})
            if until is not None:
                until()
                line.sock.settimeout(SHORT_S)
            answer = line.getresponse()
            self.status, self.body = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failed = type(error).__name__
        finally:
            line.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Stub]:
    with stub_server(CarelessS3(creates=True, replaces=True)) as running:
        yield running


@pytest.fixture(scope="module")
def running(server: Stub) -> Iterator[InThread]:
    with fault_proxy(server.endpoint, Scripted({})) as proxy:
        yield proxy


@pytest.fixture
def proxy(server: Stub, running: InThread) -> InThread:
    server.asked.clear()
    running.proxy.passed.clear()
    assert isinstance(server.answer, CarelessS3)
    server.answer.objects.clear()
    return running


def put(proxy: InThread, fault: Fault, until: Until | None = None) -> Answer:
    """A create of ``/b/a`` that meets ``fault``."""
    proxy.proxy.weather = Scripted({"PUT /b/a": [fault]})
    return Answer(proxy.proxy.port, "PUT", "/b/a", b"x" * 1000, until)


def got(proxy: InThread) -> bytes | None:
    answer = Answer(proxy.proxy.port, "GET", "/b/a")
    return answer.body if answer.status == 200 else None


def test_what_passes_is_not_touched(proxy: InThread, server: Stub) -> None:
    assert put(proxy, Fault()).status == 200
    assert got(proxy) == b"x" * 1000
    direct = Answer(int(server.endpoint.rpartition(":")[2]), "GET", "/b/a")
    assert (direct.status, direct.body) == (200, b"x" * 1000)
    assert server.asked[0].headers["if-none-match"] == "*"
    assert [passed.status for passed in proxy.proxy.passed] == [200, 200]


@pytest.mark.parametrize(
    ("fault", "status", "asked", "landed"),
    [
        (Fault("reset-before"), 0, 0, False),
        (Fault("status", status=503), 503, 0, False),
        (Fault("throttled", status=503), 503, 0, False),
        (Fault("reset-after"), 0, 1, True),
        (Fault("applied-then", status=500), 500, 1, True),
        (Fault("cut-answer", part=0.0), 0, 1, True),
        (Fault("slow-answer", seconds=0.1), 200, 1, True),
        (Fault("slow-request", seconds=0.1), 200, 1, True),
        (Fault("replay"), 412, 2, True),
        (Fault("replay-first"), 200, 2, True),
    ],
)
def test_a_fault_is_what_its_name_says(
    proxy: InThread, server: Stub, fault: Fault, status: int, asked: int, landed: bool
) -> None:
    answer = put(proxy, fault)
    assert (answer.status, bool(answer.failed)) == (status, status == 0), answer.failed
    assert len(server.asked) == asked
    assert (got(proxy) is not None) is landed


def test_a_late_request_arrives_after_its_client_gave_up(
    proxy: InThread, server: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, real = threading.Event(), proxy.proxy.deliver

    async def deliver(request: Message, late_s: float = 0.0) -> None:
        while not let_go.is_set():
            await asyncio.sleep(0.005)
        await real(request, late_s)

    monkeypatch.setattr(proxy.proxy, "deliver", deliver)
    answer = put(proxy, Fault("late", seconds=0.05))
    assert answer.failed
    assert server.asked == []
    let_go.set()
    proxy.settle()
    assert got(proxy) == b"x" * 1000


@pytest.mark.parametrize(("kind", "asked"), [("hang", 0), ("hang-after", 1), ("hang-then-late", 1)])
def test_a_client_that_hears_nothing_gives_up(proxy: InThread, server: Stub, kind: str, asked: int) -> None:
    def delivered() -> None:
        deadline = time.monotonic() + PATIENT_S
        while len(server.asked) < asked and time.monotonic() < deadline:
            time.sleep(0.005)

    answer = put(proxy, Fault(kind), until=delivered if kind == "hang-after" else lambda: None)
    assert answer.failed == "TimeoutError"
    delivered()
    assert len(server.asked) == asked


def test_a_body_that_is_cut(proxy: InThread, server: Stub) -> None:
    """Of an answer, half a body; of a request, as much as the server's own client would lose with its connection."""
    put(proxy, Fault())
    proxy.proxy.weather = Scripted({"GET": [Fault("cut-answer", part=0.9)]})
    assert Answer(proxy.proxy.port, "GET", "/b/a").failed == "IncompleteRead"
    before = len(server.asked)
    assert put(proxy, Fault("cut-request")).failed
    assert sum(asked.method == "PUT" and len(asked.body) == 1000 for asked in server.asked[before:]) == 0


def test_many_connections_and_requests_on_one(proxy: InThread) -> None:
    proxy.proxy.weather = Scripted({})

    def client(number: int) -> None:
        line = http.client.HTTPConnection("127.0.0.1", proxy.proxy.port, timeout=PATIENT_S)
        for turn in range(5):
            line.request("PUT", f"/b/{number}-{turn}", b"%d" % number)
            answers.append((number, line.getresponse().read(), line.sock is not None))
        line.close()

    answers: list[tuple[int, bytes, bool]] = []
    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 40
    assert all(kept for _, _, kept in answers)


# --- the weather ------------------------------------------------------------------------------------------------------

ASKED = [("PUT", f"/b/ns/log/w{number % 7:032x}/{number // 7:016x}") for number in range(700)]


def drawn(climate: str | Climate, seed: int, asked: list[tuple[str, str]]) -> list[Fault]:
    weather = Seeded(climate, seed)
    return [weather.decide(*one) for one in asked]


def test_the_seed_decides() -> None:
    assert drawn("harsh", 7, ASKED) == drawn("harsh", 7, ASKED)
    assert drawn("harsh", 7, ASKED) != drawn("harsh", 8, ASKED)


def test_other_requests_and_random_names_change_nothing() -> None:
    """What comes between, and how a writer is called, does not move the faults of the others."""
    between = [one for asked in ASKED for one in (asked, ("GET", f"/b/ns/root?{asked[1][-5:]}"))]
    assert [
        fault for fault, asked in zip(drawn("harsh", 7, between), between, strict=True) if asked[0] == "PUT"
    ] == drawn("harsh", 7, ASKED)
    renamed = [(method, target.replace("/w0", "/wf")) for method, target in ASKED]
    assert drawn("harsh", 7, renamed) == drawn("harsh", 7, ASKED)
    slots = [(method, target[:-1] + "f") for method, target in ASKED]
    assert drawn("harsh", 7, slots) != drawn("harsh", 7, ASKED)


def test_every_climate_brings_what_it_says() -> None:
    for name, climate in CLIMATES.items():
        faults = Counter(fault.kind for fault in drawn(climate._replace(rate=0), 3, ASKED * 4))
        assert faults.keys() - {"pass"} == set(climate.shares), name
        for kind, share in climate.shares.items():
            assert 0.4 * share < faults[kind] / (len(ASKED) * 4) < 2 * share, (name, kind)
    assert {kind for climate in CLIMATES.values() for kind in climate.shares} | {"throttled"} == {*BEFORE, *AFTER}


def test_a_rate_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    weather = Seeded(Climate({}, rate=10), 1)
    for _ in range(3):
        kinds = Counter(weather.decide("GET", f"/b/{number}").kind for number in range(25))
        assert kinds == {"pass": 10, "throttled": 15}
        now[0] += 1.0


def test_delays_have_a_base_and_a_jitter() -> None:
    delays = [fault.delay for fault in drawn("far", 1, ASKED)]
    assert min(delays) >= 0.02
    assert max(delays) <= 0.03
    assert max(delays) - min(delays) > 0.008


def test_the_program(server: Stub, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with proxy_program(server.endpoint, "calm", 1, log) as endpoint:
        assert Answer(int(endpoint.rpartition(":")[2]), "PUT", "/b/program", b"1").status == 200
    assert json.loads(log.read_text())[:2] == ["PUT", "/b/program"]
