"""How a command ends: exit codes, errors for people and programs, signals, a reader that goes away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import swampstore
from swampstore import errors
from swampstore.stores.s3_options import READ_SECONDS
from swampstore_cli import session
from tests.cli.conftest import Swamp

CONCRETE = [
    errors.SwampError("x"),
    errors.StoreUnavailable("x"),
    errors.DeadlinePassed("x"),
    errors.AlreadyExists("x"),
    errors.StaleWrite("x"),
    errors.AmbiguousAppend("x", lane="w1", slot=1, write_id=b"1"),
    errors.BadKey("x"),
    errors.StoreFull("x"),
    errors.CorruptObject("x"),
    errors.NotFound("x"),
]


@contextmanager
def _raising(error: BaseException) -> Iterator[None]:
    raise error
    yield


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every command that opens a store fail with ``error``."""
    monkeypatch.setattr(session.Session, "opened", lambda *_, **__: _raising(error))


@pytest.mark.parametrize("error", CONCRETE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("as_json", [False, True])
def test_the_exit_code_is_the_errors(
    swamp: Swamp, monkeypatch: pytest.MonkeyPatch, error: errors.SwampError, as_json: bool
) -> None:
    error.hint = "do that"
    fail(monkeypatch, error)
    done = swamp("datastore", "status", *(["--json"] if as_json else []))
    assert (done.code, done.out) == (error.exit_code, "")
    if as_json:
        assert done.error == {"error": "x", "code": error.code, "hint": "do that"}
        assert done.err.count("\n") == 1
    else:
        assert done.err == "error: x\nhint: do that\n"


def test_a_store_that_never_answers_is_given_up_in_time(
    process: Swamp, monkeypatch: pytest.MonkeyPatch, user: Path
) -> None:
    """Without the bound on a single wait it would take the driver's own; the exit code says that it may be repeated."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"s3://bucket/p?endpoint=http://127.0.0.1:{silent.getsockname()[1]}&region=us-east-1"
        begun = time.monotonic()
        done = process("object", "list", "--store", url, "--timeout", "1", "--json")
        assert time.monotonic() - begun < READ_SECONDS
    assert (done.code, done.error["code"]) == (75, "store-unavailable")
    down = process("object", "list", "--store", url, "--timeout", "0.3")
    assert down.code == 75


def test_an_unexpected_error_is_short_and_says_how_to_see_more(swamp: Swamp, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, ZeroDivisionError("by zero"))
    done = swamp("datastore", "status")
    assert done.code == 1
    assert "ZeroDivisionError: by zero" in done.err
    assert "SWAMP_DEBUG=1" in done.err
    assert "Traceback" not in done.err
    monkeypatch.setenv("SWAMP_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        swamp("datastore", "status")


def test_an_error_of_the_file_system_names_the_file(swamp: Swamp, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, OSError(28, "No space left on device", "some/file"))
    assert swamp("datastore", "status").err == "error: some/file: No space left on device\n"


@pytest.mark.parametrize(
    "arguments", [("objekt",), ("object", "putt"), ("object", "get"), ("object", "get", "k", "-x")]
)
def test_wrong_usage_is_json_too(swamp: Swamp, arguments: Sequence[str]) -> None:
    done = swamp(*arguments, "--json")
    assert (done.code, done.out) == (2, "")
    assert done.error["code"] == "usage"
    assert "--help" in done.error["hint"]


def test_a_mistyped_command_is_guessed(swamp: Swamp) -> None:
    assert "'put'" in swamp("object", "putt").err
    assert "'datastore'" in swamp("datstore").err


def test_an_error_message_cannot_drive_the_terminal(swamp: Swamp, store: Path) -> None:
    assert "\x1b" not in swamp("object", "get", "a\x1b[2J").err


def test_exit_codes_of_the_process(process: Swamp, store: Path) -> None:
    assert process("object", "put", "k", stdin=b"x").code == 0
    assert process("object", "get", "none").code == 1
    assert process("object", "get", "/bad").code == 2
    done = process("datastore", "status", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == 1


def test_a_reader_that_goes_away_ends_it_quietly(store: Path) -> None:
    with swampstore.open(str(store)) as opened:
        opened.namespace("default").put_many({f"{number:06d}/{'x' * 100}": b"" for number in range(5000)})
    line = [sys.executable, "-m", "swampstore_cli", "object", "list"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        assert listing.stdout.readline().startswith(b"000000/")
        listing.stdout.close()
        assert listing.stderr.read() == b""
    assert listing.returncode == 141


# A command line whose store stops in the middle: it says so, then waits for a signal that ends it.
STOPPING = """
import sys, time
from swampstore.stores.local import LocalStore
from swampstore_cli.main import run

verb, after = sys.argv.pop(1), int(sys.argv.pop(1))
whole = getattr(LocalStore, verb)

async def stopping(self, *arguments, **options):
    global after
    after -= 1
    if after < 0:
        print("stopped", file=sys.stderr, flush=True)
        time.sleep(60)
    return await whole(self, *arguments, **options)

setattr(LocalStore, verb, stopping)
run()
"""


def interrupted(
    verb: str, after: int, *arguments: str | Path, number: int = signal.SIGINT
) -> subprocess.CompletedProcess[str]:
    """Run a command, and send it the signal once its store has been asked ``after`` times."""
    line = [sys.executable, "-c", STOPPING, verb, str(after), *(str(part) for part in arguments)]
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "stopped\n"
        running.send_signal(number)
        out, err = running.communicate(timeout=100)
    return subprocess.CompletedProcess(line, running.returncode, out, err)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_push_interrupted_anywhere_is_finished_by_the_next(
    swamp: Swamp, repo: Path, store: Path, number: int, code: int, after: int
) -> None:
    swamp("object", "put", "there", stdin=b"x")  # the proof of the store is made: what is left are the sync's own puts
    tree = repo / ".swamp"
    tree.mkdir()
    for name in range(40):
        (tree / f"f{name}").write_bytes(os.urandom(20_000))
    (tree / "large").write_bytes(os.urandom(600_000))
    ended = interrupted("many" if after == 2 else "put", after % 2, "datastore", "sync", "--push", number=number)
    assert ended.returncode == code
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert swamp("object", "list").out.split() == ["there"]
    assert swamp("datastore", "sync", "--json").document["pushed"] == 41
    assert len(swamp("object", "list").out.split()) == 42


def test_a_pull_interrupted_leaves_no_half_file(swamp: Swamp, repo: Path, store: Path, user: Path) -> None:
    with swampstore.open(str(store)) as opened:
        opened.namespace("default").put_many({f"f{number}": os.urandom(300_000) for number in range(4)})
    ended = interrupted("get", 2, "datastore", "sync", "--pull")
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    left = [path for path in (repo / ".swamp").iterdir() if path.is_file()]
    assert all(path.stat().st_size == 300_000 for path in left)
    assert swamp("datastore", "sync", "--json").document["pulled"] == 4 - len(left)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_compactor_stops_when_told_to(store: Path, swamp: Swamp, number: int) -> None:
    line = [sys.executable, "-m", "swampstore_cli", "datastore", "compact", "--watch", "--interval", "0.05", "--json"]
    swamp("object", "put", "k", stdin=b"x")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["fold"]["deltas"] == 1
        watching.send_signal(number)
        _, err = watching.communicate(timeout=100)
    assert watching.returncode == 0
    assert err.splitlines()[-1] == "stopped"
    assert swamp("datastore", "status", "--json").document["namespaces"][0]["log_depth"] == 0


def test_what_others_do_at_the_end_is_done() -> None:
    """The process ends without taking itself apart; threads, what is registered and what is buffered come first."""
    program = """
import atexit, sys, tempfile, threading, time
from swampstore_cli.main import _leave
atexit.register(print, "registered", file=sys.stderr)
folder = tempfile.TemporaryDirectory()
def late():
    time.sleep(0.1)
    print("thread")
threading.Thread(target=late).start()
print(folder.name)
_leave(7)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    folder, said = done.stdout.splitlines()
    assert (done.returncode, said, done.stderr) == (7, "thread", "registered\n")
    assert not Path(folder).exists()
