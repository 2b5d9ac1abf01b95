"""``swamp object update``, conditional puts, streams, locks and queues."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import swampstore
from tests.cli.conftest import Swamp

EMPTY = "0" * 22
COUNT = "echo $(( $(cat) + 1 ))"


# --- object update ----------------------------------------------------------------------------------------------------


def test_update_counts(swamp: Swamp, store: Path) -> None:
    assert swamp("object", "update", "n", "--exec", COUNT).out.startswith("updated n in namespace default (1 attempt")
    done = swamp("object", "update", "n", "--exec", COUNT, "--lock", "deploy", "--deadline", "5", "--json").document
    assert (done["key"], done["update"]["how"]) == ("n", "optimistic")
    assert swamp("object", "get", "n", "--meta", "--json").document["version"] == done["version"]
    with swampstore.open(str(store)) as opened:
        assert opened.namespace("default").read("n") == b"2\n"


def test_the_command_is_told_what_there_is(swamp: Swamp, store: Path) -> None:
    line = 'printf "%s %s " "$SWAMP_KEY" "$SWAMP_EXISTS"; cat'
    swamp("object", "update", "a/b", "--exec", line)
    swamp("object", "update", "a/b", "--exec", line)
    with swampstore.open(str(store)) as opened:
        assert opened.namespace("default").read("a/b") == b"a/b 1 a/b 0 "


@pytest.mark.parametrize(
    ("line", "how"), [("echo x; exit 7", "exit code 7"), ("kill -9 $$", "signal 9"), ("no-such-command", "127")]
)
def test_a_command_that_fails_writes_nothing(swamp: Swamp, store: Path, line: str, how: str) -> None:
    done = swamp("object", "update", "n", "--exec", line, "--json")
    assert (done.code, done.out) == (1, "")
    assert how in done.err
    assert "nothing was written" in done.err
    assert swamp("object", "list").out == ""
    assert swamp("object", "update", "n", "--exec", COUNT).code == 0


def test_a_deadline_that_passes_names_the_holder(swamp: Swamp, store: Path) -> None:
    with swampstore.open(str(store)) as opened, opened.namespace("default").queue("n").acquire(purpose="long job"):
        done = swamp("object", "update", "n", "--exec", COUNT, "--deadline", "0.1", "--json")
        assert (done.code, done.out) == (75, "")
        assert done.error["code"] == "deadline-passed"
        for part in ("position 1", rf":{os.getpid()} \(long job\)", r"ticket 1 taken \d+ s ago"):
            assert re.search(part, done.error["error"])
        assert done.error["hint"].endswith("swamp datastore queue show n")
        assert swamp("object", "update", "n", "--exec", COUNT, "--deadline", "-1").code == 2


def test_processes_that_update_at_once_count_exactly(store: Path) -> None:
    line = [sys.executable, "-m", "swampstore_cli", "object", "update", "n", "--exec", COUNT]
    running = [subprocess.Popen(line, stdout=subprocess.DEVNULL) for _ in range(5)]
    assert [one.wait(100) for one in running] == [0] * 5
    with swampstore.open(str(store)) as opened:
        assert opened.namespace("default").read("n") == b"5\n"


def test_an_update_interrupted_frees_its_turn(swamp: Swamp, store: Path, repo: Path) -> None:
    os.mkfifo(repo / "pipe")
    line = [sys.executable, "-m", "swampstore_cli", "object", "update", "n", "--exec", "echo in > pipe; exec sleep 60"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, start_new_session=True) as running:
        assert (repo / "pipe").read_text() == "in\n"
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(100) in (1, 130)
    assert swamp("object", "update", "n", "--exec", COUNT, "--deadline", "5").code == 0


# --- conditional puts -------------------------------------------------------------------------------------------------


def test_put_if(swamp: Swamp, store: Path) -> None:
    first = swamp("object", "put", "k", "--if-absent", "--json", stdin=b"1").document["version"]
    done = swamp("object", "put", "k", "--if-absent", "--json", stdin=b"2")
    assert (done.code, done.out) == (3, "")
    assert done.error | {"error": "", "hint": ""} == {
        "error": "", "code": "version-conflict", "hint": "", "expected": None, "current": first
    }  # fmt: skip
    second = swamp("object", "put", "k", "--if-version", first, "--json", stdin=b"2").document["version"]
    done = swamp("object", "put", "k", "--if-version", first, "--json", stdin=b"3")
    assert (done.code, done.error["expected"], done.error["current"]) == (3, first, second)
    assert swamp("object", "put", "k", "--if-version", "nonsense", stdin=b"3").code == 2
    assert swamp("object", "put", "k", "--if-version", first, "--if-absent", stdin=b"3").code == 2


# --- streams ----------------------------------------------------------------------------------------------------------


def test_streams(swamp: Swamp, repo: Path, store: Path) -> None:
    assert swamp("stream", "tail", "runs/1").out.strip() == EMPTY
    first = swamp("stream", "append", "runs/1", "--expect-tail", "empty", stdin=b"start").out.strip()
    (repo / "events").write_bytes(b"a\nb\nc\n")
    done = swamp("stream", "append", "runs/1", "events", "--lines", "--expect-tail", first, "--json").document
    assert len(done["positions"]) == 3
    assert done["tail"] == done["positions"][-1] == swamp("stream", "tail", "runs/1", "--json").document["tail"]
    assert swamp("stream", "append", "runs/1", stdin=b"\xff\n").code == 0
    assert swamp("stream", "read", "runs/1", "--limit", "4").out == "start\na\nb\nc\n"
    found = swamp("stream", "read", "runs/1", "--after", first, "--json").document
    assert [record.get("data") for record in found["records"]] == ["a", "b", "c", None]
    assert found["records"][-1]["base64"] == "/wo="
    assert found["tail"] == found["records"][-1]["position"]
    assert swamp("stream", "read", "none", "--json").document == {"stream": "none", "tail": EMPTY, "records": []}


def test_a_stream_that_moved_on_is_a_conflict(swamp: Swamp, store: Path) -> None:
    first = swamp("stream", "append", "s", stdin=b"1").out.strip()
    second = swamp("stream", "append", "s", stdin=b"2").out.strip()
    done = swamp("stream", "append", "s", "--expect-tail", first, "--json", stdin=b"3")
    assert (done.code, done.out) == (3, "")
    assert set(done.error) == {"error", "code", "hint", "expected", "current"}
    assert (done.error["code"], done.error["expected"], done.error["current"]) == ("fence-conflict", first, second)


@pytest.mark.parametrize(
    "arguments",
    [("append", "../s"), ("append", "s", "--expect-tail", "x"), ("append", "s", "--lines"), ("read", "s", "--limit", "0"),
     ("read", "s", "--after", "x"), ("read", "s", "--follow", "--limit", "1"), ("tail", "")],
)  # fmt: skip
def test_bad_stream_arguments(swamp: Swamp, store: Path, arguments: tuple[str, ...]) -> None:
    assert swamp("stream", *arguments).code == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_follow(swamp: Swamp, store: Path, as_json: bool) -> None:
    swamp("stream", "append", "s", stdin=b"1")
    line = [sys.executable, "-m", "swampstore_cli", "stream", "read", "s", "--follow", *(["--json"] if as_json else [])]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None

        def seen() -> str:
            assert following.stdout is not None
            text = following.stdout.readline()
            return json.loads(text)["data"] if as_json else text.strip()

        assert seen() == "1"
        swamp("stream", "append", "s", "--lines", stdin=b"2\n3\n")
        assert (seen(), seen()) == ("2", "3")
        following.send_signal(signal.SIGINT)
        assert following.wait(100) == 130


# --- locks and queues -------------------------------------------------------------------------------------------------


def test_locks(swamp: Swamp, store: Path) -> None:
    assert swamp("datastore", "lock", "status").out == "no lock is held\n"
    assert swamp("datastore", "lock", "release", "--force").code == 2
    with swampstore.open(str(store)) as opened:
        ns = opened.namespace("default")
        with ns.lock("deploy\x1b", purpose="release 7") as held:
            shown = swamp("datastore", "lock", "status").out
            assert "\x1b" not in shown
            assert "capacity 1, 1 held, 0 waiting" in shown
            assert f":{os.getpid()}" in shown
            assert "release 7" in shown
            (lock,) = swamp("datastore", "lock", "status", "--json").document["locks"]
            assert (lock["queue"], lock["tickets"][0]["state"]) == ("deploy\x1b", "running")
            done = swamp("datastore", "lock", "release", "--json")
            assert (done.code, "--force" in done.error["hint"]) == (2, True)
            assert swamp("datastore", "lock", "release", "--force", "--ticket", "9").code == 1
            released = swamp("datastore", "lock", "release", "--force", "--json").document
            assert released["released"]["ticket"] == 1
            with opened.namespace("default").queue("deploy\x1b").acquire(deadline=60):
                pass
            _commit_elsewhere(str(store))
            with pytest.raises(swampstore.FencedError):
                held.put("k", b"stale")
    assert swamp("datastore", "lock", "status", "--name", "deploy\x1b").out.count("\n") == 1


def _commit_elsewhere(store: str) -> None:
    """Another thread takes the lock and commits under it."""

    def work() -> None:
        with swampstore.open(store) as opened, opened.namespace("default").lock("deploy\x1b") as held:
            held.put("k", b"fresh")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)


def test_several_locks_want_a_name(swamp: Swamp, store: Path) -> None:
    with swampstore.open(str(store)) as opened:
        ns = opened.namespace("default")
        with ns.lock("a"), ns.lock("b"):
            done = swamp("datastore", "lock", "release", "--force", "--json")
            assert (done.code, done.error["hint"]) == (2, "say which with --name")
            assert swamp("datastore", "lock", "release", "--force", "--name", "a").out.endswith("which held a\n")
            assert swamp("datastore", "lock", "release", "--force", "--name", "a").code == 1


def test_queues(swamp: Swamp, store: Path) -> None:
    assert swamp("datastore", "queue", "list").out == ""
    with swampstore.open(str(store)) as opened:
        queue = opened.namespace("default").queue("sandbox", capacity=2)
        with queue.acquire(), queue.acquire(run_limit=1000, purpose="job"):
            assert swamp("datastore", "queue", "list").out.split() == [
                "QUEUE",
                "CAPACITY",
                "HELD",
                "WAITING",
                "sandbox",
                "2",
                "2",
                "0",
            ]
            shown = swamp("datastore", "queue", "show", "sandbox", "--json").document
            assert [(one["ticket"], one["state"], one["position"]) for one in shown["tickets"]] == [
                (1, "running", 0), (2, "running", 0)
            ]  # fmt: skip
            assert swamp("datastore", "queue", "set-capacity", "sandbox", "5").out == "the capacity of sandbox is 5\n"
            assert swamp("datastore", "queue", "show", "sandbox").out.startswith(
                "sandbox: capacity 5, 2 held, 0 waiting\n"
            )
            for bad in ("0", "-1", "1000000", "x"):
                assert swamp("datastore", "queue", "set-capacity", "sandbox", bad).code == 2
    listed: Any = swamp("datastore", "queue", "list", "--json").document
    assert listed == {"namespace": "default", "queues": [{"queue": "sandbox", "capacity": 5, "unfinished": 0}]}


@pytest.mark.parametrize(("name", "says"), [("poll/prices", "poller"), ("deploy", "is a lock")])
def test_what_lets_one_in_at_a_time_is_not_widened(swamp: Swamp, store: Path, name: str, says: str) -> None:
    with swampstore.open(str(store)) as opened, opened.namespace("default").lock("deploy"):
        pass
    done = swamp("datastore", "queue", "set-capacity", name, "3", "--json")
    assert (done.code, done.error["code"], says in done.error["error"]) == (2, "misuse", True)
    assert swamp("datastore", "queue", "set-capacity", name, "1").code == 0
