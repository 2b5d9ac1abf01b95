"""Pulls of large files that were interrupted, packs of small ones: what is read again, and how often is asked."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from swampstore.env.blocking import run
from swampstore.errors import StoreUnavailable
from swampstore.limits import PART_BYTES
from swampstore.protocols import contents
from swampstore.workers.sync import fetch, pull
from swampstore.workers.sync.options import TEMP_PREFIX
from swampstore.workers.sync.temporary import Partial
from tests.sync.machines import OLD, Machine
from tests.sync.virtual import VirtualEnv

Make = Callable[..., Machine]
SIZE = 3 * PART_BYTES + 1000


class Cut(BaseException):
    """What ends a process: nothing may catch it."""


def leftovers(machine: Machine) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in machine.tree.rglob(TEMP_PREFIX + "*")}


@pytest.fixture
def large(machine: Make, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Machine, bytes]:
    """A large file there, and a machine without it; parts come one at a time, so that a cut falls between them."""
    monkeypatch.setattr(contents, "_PARTS_AT_ONCE", 1)
    a, b = machine("a"), machine("b")
    data = random.Random(3).randbytes(SIZE)
    a.write("d/large", data)
    a.sync()
    return a, b, data


def cut_after(machine: Machine, parts: int, error: BaseException) -> None:
    """Sync until so many parts of the content have been read."""
    seen = 0

    def before(verb: str, name: str) -> None:
        nonlocal seen
        if verb == "get" and "/blob/" in name:
            seen += 1
            if seen > parts:
                raise error

    with pytest.raises(type(error)):
        machine.sync(before=before, push=False)


def parts_read(machine: Machine) -> int:
    assert machine.last is not None
    return sum(name.startswith("get ") and "/blob/" in name for name in machine.last.names)


def test_a_cut_pull_goes_on_where_it_stopped(large: tuple[Machine, Machine, bytes]) -> None:
    _, b, data = large
    cut_after(b, 3, Cut())
    assert list(leftovers(b).values()) == [2 * PART_BYTES]  # the last part is held back for the check
    b.sync(push=False)
    assert parts_read(b) == 2
    assert (b.files(), leftovers(b)) == ({"d/large": data}, {})
    assert b.sync().idle


def test_without_the_partial_file_everything_is_read_again(
    large: tuple[Machine, Machine, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b, data = large
    cut_after(b, 3, Cut())
    monkeypatch.setattr(Partial, "held", lambda _: 0)
    b.sync(push=False)
    assert parts_read(b) == 4
    assert b.files() == {"d/large": data}


@pytest.mark.parametrize("damage", ["changed", "longer", "torn"])
def test_what_was_left_is_not_trusted(large: tuple[Machine, Machine, bytes], damage: str) -> None:
    _, b, data = large
    cut_after(b, 3, Cut())
    (path,) = b.tree.rglob(TEMP_PREFIX + "*")
    with path.open("r+b") as file:
        if damage == "changed":
            file.seek(PART_BYTES + 5)
            file.write(b"?")
        elif damage == "longer":
            file.seek(SIZE + 99)
            file.write(b"?")
        else:
            file.truncate(PART_BYTES + 9)
    b.sync(push=False)
    assert (b.files(), leftovers(b)) == ({"d/large": data}, {})


def test_without_the_check_at_the_end_rubbish_would_be_placed(
    large: tuple[Machine, Machine, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b, data = large
    cut_after(b, 3, Cut())
    (path,) = b.tree.rglob(TEMP_PREFIX + "*")
    with path.open("r+b") as file:
        file.write(b"?")

    class Trusting:
        """Says that the hash is right."""

        def update(self, _: bytes) -> None: ...

        def digest(self) -> bytes:
            return right

    entry = run(b.namespace().get("d/large"))
    assert entry is not None
    assert entry.meta.sha256 is not None
    right = entry.meta.sha256
    monkeypatch.setattr(pull, "hashlib", SimpleNamespace(sha256=Trusting))
    b.sync(push=False)
    assert b.files()["d/large"] != data


def test_another_content_meanwhile_leaves_the_old_part_alone(large: tuple[Machine, Machine, bytes]) -> None:
    a, b, _ = large
    cut_after(b, 3, Cut())
    other = random.Random(4).randbytes(SIZE)
    a.write("d/large", other, mtime=OLD + 9)
    a.sync()
    b.sync(push=False)
    assert b.files()["d/large"] == other
    (old,) = b.tree.rglob(TEMP_PREFIX + "*")
    os.utime(old, (OLD, OLD))
    b.sync()
    assert leftovers(b) == {}


def test_two_at_once_do_not_share_a_partial_file(large: tuple[Machine, Machine, bytes]) -> None:
    _, b, data = large
    twin = Machine(b.store, b.tree)
    inner: list[int] = []

    def before(verb: str, name: str) -> None:
        if verb == "get" and "/blob/" in name and not inner:
            inner.append(twin.sync(push=False).pulled)

    report = b.sync(before=before, push=False)
    assert (inner, report.skipped) == ([1], [])
    assert (b.files(), leftovers(b)) == ({"d/large": data}, {})


def test_a_store_that_is_away_keeps_what_came(large: tuple[Machine, Machine, bytes]) -> None:
    _, b, data = large
    b.env = VirtualEnv()
    cut_after(b, 3, StoreUnavailable("away", hint="wait"))
    assert list(leftovers(b).values()) == [2 * PART_BYTES]
    b.sync(push=False)
    assert b.files() == {"d/large": data}


# --- many small files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("size", [1_000, 6_000])
def test_small_files_travel_together(machine: Make, size: int, compacted: bool) -> None:
    """2,000 files: a fifth of the ten thousand that may cost hundreds of requests."""
    a, b = machine("a"), machine("b")
    rng = random.Random(size)
    for number in range(2_000):
        a.write(f"d/{number // 50}/{number}", rng.randbytes(size))
    a.sync()
    assert a.requests <= 20, a.last
    if compacted:
        a.compact()
    assert b.sync(push=False).pulled == 2_000
    assert b.requests <= 20, b.last
    assert a.files() == b.files()


def test_without_packs_joined_it_is_a_request_each(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = machine("a"), machine("b")
    for number in range(300):
        a.write(f"d/{number}", os.urandom(6_000))
    a.sync()
    monkeypatch.setattr(fetch, "_spans", lambda members: [[member] for member in members])
    assert b.sync(push=False).pulled == 300
    assert b.requests > 300


def test_a_broken_member_of_a_pack_costs_itself_alone(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for number in range(20):
        a.write(f"d/{number:02}", bytes([65 + number]) * 6_000)
    a.sync()
    ((name, held),) = [(name, held) for name, held in a.store._objects.items() if "/pack/" in name]
    at = held.body.index(b"H" * 6_000)
    a.store._objects[name] = type(held)(held.body[:at] + b"?" + held.body[at + 1 :], held.etag, held.modified)
    report = b.sync(push=False)
    assert (report.pulled, [skip.path for skip in report.skipped]) == (19, ["d/07"])


# --- processes that are killed ------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.open import open_store
from swampstore.workers.sync import SyncOptions, sync
env = BlockingEnv()
core = CoreStore(open_store(sys.argv[1], env=env, create=True), env)
print("ready", flush=True)
sys.stdin.readline()
report = run(sync(core.namespace("ops"), Path(sys.argv[2]), SyncOptions()))
print(len(report.conflicts), len(report.revived), flush=True)
"""


def start(store: Path, tree: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store), str(tree)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate("\n", timeout=60)
    assert process.returncode == 0
    return said


def kill_while_it_works(store: Path, tree: Path, after_ms: float) -> bool:
    """Whether the process was killed before its end."""
    process = start(store, tree)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    try:
        process.wait(timeout=after_ms / 1000)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    finally:
        process.communicate()
    return False


def contents_of(tree: Path) -> dict[str, bytes]:
    found = (path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        key: path.read_bytes()
        for path in found
        if ".swampstore" not in (key := path.relative_to(tree).as_posix()).split("/")[0]
        and not path.name.startswith(TEMP_PREFIX)
    }


def killed_again_and_again(folder: Path, seed: int) -> int:
    """A push and a pull of small and large files, each killed at random moments until it survives; the kills."""
    rng = random.Random(seed)
    store, a, b = folder / "store", folder / "a", folder / "b"
    (a / "d").mkdir(parents=True)
    for number in range(300):
        (a / "d" / str(number)).write_bytes(rng.randbytes(rng.choice((10, 3_000, 9_000, 70_000))))
    (a / "large").write_bytes(rng.randbytes(2 * PART_BYTES + 5))
    kills = 0
    for tree in (a, b):
        tree.mkdir(exist_ok=True)
        for turn in range(12):
            if not kill_while_it_works(store, tree, rng.uniform(5, 400) * (1 + turn / 4)):
                break
            kills += 1
            assert set(contents_of(tree)) <= set(contents_of(a))
        assert finish(start(store, tree)).split() == ["0", "0"]
    assert contents_of(a) == contents_of(b), f"seed {seed}"
    for tree in (a, b, a):
        finish(start(store, tree))
    assert contents_of(a) == contents_of(b), f"seed {seed}"
    assert len(contents_of(a)) == 301, f"seed {seed}"
    return kills


def test_a_killed_process_is_gone_on_from(tmp_path: Path) -> None:
    assert killed_again_and_again(tmp_path, 1) >= 2


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2, 22))
def test_killed_processes_are_gone_on_from(tmp_path: Path, seed: int) -> None:
    killed_again_and_again(tmp_path, seed)
