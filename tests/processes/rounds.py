"""Rounds of real processes that are killed and stopped at any moment; after each the store is opened anew and looked at.

    python -m tests.processes.rounds local --rounds 500 --seed 1
    python -m tests.processes.rounds moto --rounds 500
    python -m tests.processes.rounds emulator --rounds 100 --actors appender1,compactor1

Which processes take part, when each is killed (SIGKILL) or stopped and woken (SIGSTOP, SIGCONT) is drawn from the seed;
what the machine makes of it is not repeatable, so the record of a failed group of rounds is kept.

Invariant: a process of a round is a fork of this program, which holds no connection and no thread of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

import swampstore
from tests.histories.record import Op, load
from tests.processes import actors
from tests.processes.actors import ACTORS, TIMEOUT_S, Desk
from tests.processes.books import check_history, check_trees
from tests.processes.broken import BROKEN, break_on_purpose
from tests.processes.drivers import DRIVERS
from tests.proxy.proxy import proxy_program
from tests.proxy.weather import CLIMATES
from tests.real.ceph import ceph_program
from tests.servers import AWS_ENVIRONMENT, emulator_server, moto_server, server_at

WORK_S = 0.45
END_S = 30.0
OPEN_LIMIT_S = 1.0


class Plan(msgspec.Struct):
    """How to run: ``patient`` waits for the survivors of each round and calls one that does not end a violation."""

    url: str
    scratch: Path
    rounds: int
    seed: int
    group: int = 25
    actors: tuple[str, ...] = tuple(ACTORS)
    most: int = 7
    work_s: float = WORK_S
    patient: bool = True
    calm: bool = False
    broken: str = ""
    stop_s: float = 0.4
    pause_s: float = 0.0
    driver: str = DRIVERS[0]
    more_urls: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S


class Tally(msgspec.Struct):
    """What was done and what was found. ``open_ms`` are first reads after a crash, store opened anew."""

    rounds: int = 0
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    open_ms: list[float] = []
    wrong: list[str] = []

    def describe(self) -> str:
        waits = sorted(self.open_ms) or [0.0]
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        middle, last = waits[len(waits) // 2], waits[-1]
        return f"{self.rounds} rounds: {counts}; first read after a crash {middle:.0f} ms, at most {last:.0f} ms"


def run_rounds(plan: Plan) -> Tally:
    """All rounds, group by group: a group shares one namespace. Ends at the first violation."""
    tally = Tally()
    for first in range(0, plan.rounds, plan.group):
        folder = plan.scratch / f"group-{first}"
        folder.mkdir(parents=True)
        group = range(first, min(first + plan.group, plan.rounds))
        for number in group:
            tally.wrong += one_round(plan, folder, f"ns{first}", number, tally)
            tally.rounds += 1
            if tally.wrong:
                return tally
        ops = load(sorted(folder.glob("*.jsonl")))
        tally.counts.update(
            f"{op.kind} {op.how}" for op in ops if op.kind in ("append", "update", "push", "cas", "sync")
        )
        tally.wrong += check_history(ops)
        trees = sorted(folder.glob("tree-*"))
        if trees:
            at_rest = partial(rest, plan, folder, f"ns{first}", trees)
            tally.wrong += _in_child(at_rest, folder)
            tally.wrong += check_trees(ops, trees)
        if tally.wrong:
            return tally
        shutil.rmtree(folder)
    return tally


def one_round(plan: Plan, folder: Path, namespace: str, number: int, tally: Tally) -> list[str]:
    """Start processes, kill and stop some, wait for the rest, look."""
    dice = random.Random(plan.seed * 1_000_003 + number)
    taking = dice.sample(plan.actors, min(plan.most, len(plan.actors)))
    pids: dict[int, str] = {}
    for name in taking:
        record = folder / f"{name}.r{number}.jsonl"
        seed = dice.randrange(1 << 30)
        url = dice.choice((plan.url, *plan.more_urls)) if plan.more_urls else plan.url
        pids[_fork(partial(_act, plan, url, namespace, name, record, seed, number), folder)] = name
    events: list[tuple[float, int, int]] = []
    for pid in () if plan.calm else pids:
        roll, when = dice.random(), dice.random() * plan.work_s
        if roll < 0.45:
            events.append((when, pid, signal.SIGKILL))
        elif roll < 0.7:
            events += [(when, pid, signal.SIGSTOP), (when + dice.random() * plan.stop_s, pid, signal.SIGCONT)]
            if dice.random() < 0.3:
                events.append((when + 0.05, pid, signal.SIGKILL))
    began = time.monotonic()
    for when, pid, number_of_signal in sorted(events):
        time.sleep(max(began + when - time.monotonic(), 0.0))
        tally.counts[signal.Signals(number_of_signal).name] += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number_of_signal)
    wrong = [f"round {number}: {problem}" for problem in _wait(plan, pids, began, folder, tally)]
    found = folder / "verified.json"
    wrong += _in_child(partial(verify, plan, folder, namespace, number, found), folder)
    if not wrong:
        tally.open_ms.append(json.loads(found.read_text())["open_ms"])
        if plan.url.startswith("/") and tally.open_ms[-1] > OPEN_LIMIT_S * 1000:
            tally.counts["slow opens"] += 1
    return wrong


def _act(plan: Plan, url: str, namespace: str, name: str, record: Path, seed: int, number: int) -> list[str]:
    break_on_purpose(plan.broken)
    desk = Desk(url, namespace, record, seed, plan.work_s, number, plan.driver, plan.timeout_s)
    desk.pause_s = plan.pause_s
    ACTORS[name](desk)
    return []


def _wait(plan: Plan, pids: dict[int, str], began: float, folder: Path, tally: Tally) -> list[str]:
    """Until all have ended. The patient call one that does not end a violation; the others end it."""
    wrong: list[str] = []
    limit = began + plan.work_s + plan.stop_s + (END_S if plan.patient else 1.5)
    while pids:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            if time.monotonic() > limit:
                for left, name in pids.items():
                    if plan.patient:
                        wrong.append(f"{name} did not end within {END_S} s")
                    tally.counts["killed at the end"] += 1
                    os.kill(left, signal.SIGKILL)
                limit += 1e9
            time.sleep(0.005)
            continue
        name = pids.pop(pid)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            wrong.append(f"{name} failed:\n{(folder / f'{pid}.err').read_text()}")
    return wrong


def _fork(work: Callable[[], list[str]], folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    told = folder / f"{os.getpid()}.err"
    code = 1
    try:
        problems = work()
        told.write_text("\n".join(problems))
        code = 1 if problems else 0
    except BaseException:  # noqa: BLE001 (whatever it is, the parent tells)
        told.write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _in_child(work: Callable[[], list[str]], folder: Path) -> list[str]:
    """Carry out ``work`` in a process of its own, so that this one never opens a store."""
    pid = _fork(work, folder)
    _, status = os.waitpid(pid, 0)
    return [] if status == 0 else [(folder / f"{pid}.err").read_text()]


# --- looking ----------------------------------------------------------------------------------------------------------


def verify(plan: Plan, folder: Path, namespace: str, number: int, found: Path) -> list[str]:
    """What a new process finds; that it can do at once everything that the dead were doing."""
    began = time.monotonic()
    desk = Desk(
        plan.url, namespace, folder / f"verify.r{number}.jsonl", number, 0.0, number, plan.driver, plan.timeout_s
    )
    desk.ns.get("a/nothing")
    opened = (time.monotonic() - began) * 1000
    actors.read_list(desk)
    for key in (f"c/{number}/0", f"c/{number}/1", f"l/{number}/n"):
        actors.look(desk, key)
    actors.tell(desk, f"s/{number}")
    actors.versions(desk)
    actors.audited(desk)
    if plan.patient:  # without patience the places of the dead in a server's queues are left to their TTL
        actors.update(desk, f"c/{number}/0")
        actors.locked(desk, f"l/{number}")
    actors.update(desk, f"c/{number}/new")
    actors.push(desk, f"s/{number}")
    key = f"a/s/{desk.next()}"
    with desk.recorder.doing("append", items={key: actors.told(actors.contents(key))}):
        desk.ns.put(key, actors.contents(key))
    if number % 3 == 0:
        desk.ns.compact(full=number % 2 == 0)
    actors.read_list(desk)
    _check_bodies(desk)
    if number % plan.group == plan.group - 1 or number == plan.rounds - 1:
        report = desk.ns.doctor(deep=True, guards=False)
        assert report.healthy, report.of("error")
    found.write_text(json.dumps({"open_ms": opened}))
    return []


def _check_bodies(desk: Desk) -> None:
    """Contents that are packed or alone are there (the hash is checked by the read)."""
    for entry in desk.ns.list("a/b/", limit=3):
        assert desk.ns.read(entry.key) == actors.contents(entry.key)
    for entry in desk.ns.list("a/p/", limit=3):
        assert desk.ns.read(entry.key) == actors.contents(entry.key)


def rest(plan: Plan, folder: Path, namespace: str, trees: list[Path]) -> list[str]:
    """Sync the trees until nothing is left to do."""
    desk = Desk(plan.url, namespace, folder / "rest.jsonl", 0, 0.0, 0, plan.driver, plan.timeout_s)
    held = desk.store.namespace(f"{namespace}-tree")
    for tree in (*trees, *trees):
        report = held.sync(tree)
    idle = [held.sync(tree).idle for tree in trees]
    return [] if all(idle) else [f"the trees do not come to rest: {report.describe()}"]


# --- as a program -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def backend(name: str, scratch: Path) -> Iterator[str]:
    """The URL of a fresh store of a kind."""
    with backends(name, scratch) as urls:
        yield urls[0]


@contextlib.contextmanager
def backends(name: str, scratch: Path, weather: str = "", seed: int = 1) -> Iterator[list[str]]:
    """The URLs of a fresh store of a kind; servers in a ``weather`` (a fault proxy).

    ``ceph`` is in memory, with two gateways; the daemons of ``ceph-killed`` are killed and started again meanwhile.
    """
    if name == "local":
        (scratch / "store").mkdir()
        yield [str(scratch / "store")]
        return
    if name.startswith("ceph"):
        crashing = {"store": "bluestore", "kills": seed} if name == "ceph-killed" else {"store": "memstore"}
        with ceph_program(scratch, bucket="kills", gateways=2, **crashing) as endpoints:  # type: ignore[arg-type]
            servers = [server_at(int(endpoint.rpartition(":")[2])) for endpoint in endpoints]
            if not weather:
                yield [server.url("kills", "store") for server in servers]
                return
            with proxy_program(endpoints[0], weather, seed, scratch / "proxy.jsonl") as endpoint:
                yield [servers[0]._replace(endpoint=endpoint).url("kills", "store"), servers[1].url("kills", "store")]
        return
    with (moto_server if name == "moto" else emulator_server)(scratch) as server:
        server.client.create_bucket(Bucket="kills")
        server.client.close()
        if not weather:
            yield [server.url("kills", "store")]
            return
        with proxy_program(server.endpoint, weather, seed, scratch / "proxy.jsonl") as endpoint:
            yield [server._replace(endpoint=endpoint).url("kills", "store")]


def _faults(scratch: Path) -> str:
    """What the proxy has done, by kind."""
    log = scratch / "proxy.jsonl"
    if not log.exists():
        return ""
    kinds = Counter(json.loads(line)[2][0] for line in log.read_text().splitlines())
    return f"; of {kinds.total()} requests " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def load_all() -> None:
    """Import what is loaded when first used, so that the processes of a round need not."""
    for name in swampstore.__all__:
        getattr(swampstore, name)
    for name in ("workers.sync", "workers.compactor", "client.care", "workers.doctor.deep", "protocols.queue"):
        importlib.import_module(f"swampstore.{name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", choices=["local", "moto", "emulator", "ceph", "ceph-killed"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--group", type=int, default=25)
    parser.add_argument("--actors", default=",".join(ACTORS))
    parser.add_argument("--calm", action="store_true", help="kill and stop nobody")
    parser.add_argument("--broken", choices=["", *BROKEN], default="", help="a fault that must be found")
    parser.add_argument("--work-s", type=float, default=WORK_S, help="how long the processes of a round work")
    parser.add_argument("--stop-s", type=float, default=0.4, help="for how long at most a process is stopped")
    parser.add_argument(
        "--pause-s", type=float, default=0.0, help="what a process waits at most between two operations"
    )
    parser.add_argument("--most", type=int, default=7, help="processes in a round")
    parser.add_argument("--weather", choices=["", *CLIMATES], default="", help="what a fault proxy does to requests")
    parser.add_argument("--driver", choices=DRIVERS, default=DRIVERS[0])
    given = parser.parse_args()
    os.environ.update(AWS_ENVIRONMENT)
    scratch = Path(tempfile.mkdtemp(prefix="swampstore-kills-"))
    os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
    load_all()
    with backends(given.backend, scratch, given.weather, given.seed) as urls:
        plan = Plan(
            urls[0], scratch / "rounds", given.rounds, given.seed, given.group, tuple(given.actors.split(",")), given.most,
            patient=given.backend == "local" or given.calm, calm=given.calm, broken=given.broken, work_s=given.work_s, stop_s=given.stop_s, pause_s=given.pause_s, driver=given.driver, more_urls=tuple(urls[1:]),
            # Ceph's storage daemon takes 12 s to come back; who is stopped in the middle of a request asks again afterwards.
            timeout_s=90.0 if given.backend == "ceph-killed" else TIMEOUT_S + given.stop_s,
        )  # fmt: skip
        tally = run_rounds(plan)
    print(f"seed {given.seed}, {given.backend}: {tally.describe()}{_faults(scratch)}")
    for problem in tally.wrong[:20]:
        print("VIOLATION", problem)
    if tally.wrong:
        print(f"kept: {scratch}")
    else:
        shutil.rmtree(scratch)
    return 1 if tally.wrong else 0


def operations(folder: Path) -> list[Op]:
    """The history that a failed group has left."""
    return load(sorted(folder.glob("*.jsonl")))


if __name__ == "__main__":
    sys.exit(main())
