"""A directory on a disk that fails, fills up, or loses its power or its process at any step."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import (
    AlreadyExists,
    StoreForbidden,
    StoreFull,
    StoreUnavailable,
    SwampError,
    Undecided,
)
from swampstore.stores import disk
from swampstore.stores.base import Create, Got, Overwrite, Replace
from swampstore.stores.local import LocalStore
from swampstore.testing.samples import Blocks


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "root", create=True)


def names(store: LocalStore, prefix: str = "") -> list[str]:
    return [item.name for item in run(store.list(prefix)).items]


def body(store: LocalStore, name: str) -> bytes:
    got = run(store.get(name))
    assert isinstance(got, Got)
    return got.body


def leftovers(store: LocalStore) -> list[str]:
    temp = Path(store.root, ".tmp")
    return [entry.name for entry in temp.iterdir() if entry.is_file()] if temp.exists() else []


# --- what is on the disk when -----------------------------------------------------------------------------------------


def test_what_is_synced_before_a_create_is_acknowledged(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(disk.os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to see what is synced")
    root = store.root
    run(store.put("a/b/c", b"1", Create()))
    assert synced[0].startswith(f"{root}/.tmp/")
    assert synced[1:] == [f"{root}/a/b", f"{root}/a", root]
    synced.clear()
    run(store.put("a/b/d", b"1", Create()))
    assert synced[1:] == [f"{root}/a/b"]
    synced.clear()
    with pytest.raises(AlreadyExists):
        run(store.put("a/b/d", b"2", Create()))
    assert synced[1:] == [f"{root}/a/b"]
    run(store.delete(["a/b/c", "a/b/d"]))
    synced.clear()
    run(store.put("a/b/e", b"1", Create()))
    assert synced[1:] == [f"{root}/a/b", f"{root}/a", root]


def test_a_folder_made_anew_by_others_is_synced_anew(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store.put("a/b/c", b"1", Create()))
    folder = Path(store.root, "a", "b")
    (folder / "c").unlink()
    folder.rename(f"{store.root}/a/old")  # so that the new one cannot get its identity number
    folder.mkdir()
    kept, synced = store._folders.sync, []
    monkeypatch.setattr(store._folders, "sync", lambda path: (synced.append(path), kept(path)))
    run(store.put("a/b/d", b"1", Create()))
    run(store.put("a/b/e", b"1", Create()))
    assert synced == [str(folder), str(folder.parent), str(folder)]


def test_a_buffered_store_syncs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path, durable=False)
    monkeypatch.setattr(disk.os, "fsync", lambda fd: pytest.fail("synced"))
    stored = run(store.put("a/b", b"1", Create()))
    run(store.put("a/b", b"2", Replace(stored.etag)))
    assert body(store, "a/b") == b"2"


def test_a_folder_that_cannot_be_synced_leaves_the_write_undecided(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store._folders, "sync", broken)
    with pytest.raises(Undecided) as caught:
        run(store.put("a", b"1", Create()))
    assert caught.value.name == "a"


@pytest.mark.parametrize("step", ["open", "write", "utime", "fsync", "link", "replace"])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, StoreForbidden),
        (errno.EROFS, StoreForbidden),
        (errno.EIO, StoreUnavailable),
    ],
)
def test_a_fault_at_any_step_leaves_the_old_contents(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, step: str, fault: int, expected: type[SwampError]
) -> None:
    run(store.put("a", b"old", Create()))
    kept = getattr(os, step)
    met: list[str] = []

    def fails(*args: Any, **more: Any) -> Any:
        if step == "open" and not args[1] & os.O_EXCL:
            return kept(*args, **more)
        met.append(step)
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, step, fails)
    name = "b" if step == "link" else "a"
    with pytest.raises(expected) as caught:
        run(store.put(name, b"new", Create() if step == "link" else Overwrite()))
    monkeypatch.undo()
    assert met
    assert name in str(caught.value)
    assert names(store) == ["a"]
    assert body(store, "a") == b"old"
    assert leftovers(store) == []


def test_a_body_that_cannot_be_read_is_no_fault_of_the_store(store: LocalStore) -> None:
    class Vanished(Blocks):
        def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
            yield b"x" * 5
            raise FileNotFoundError(errno.ENOENT, "gone")

    with pytest.raises(SwampError, match="could not be read") as caught:
        run(store.put("a", Vanished(10), Overwrite()))
    assert caught.value.code == "misuse"
    assert leftovers(store) == []


KILLED = """
import os, sys
from swampstore.env.blocking import run
from swampstore.stores.base import Create, Overwrite
from swampstore.stores.local import LocalStore

step, root, when = sys.argv[1:]
kept = getattr(os, step)
def killed(*args, **more):
    if step == "open" and not args[1] & os.O_EXCL:
        return kept(*args, **more)
    kept(*args, **more)
    os._exit(9)
store = LocalStore(root)
setattr(os, step, killed)
run(store.put("a", b"new" * 100, Create() if when == "create" else Overwrite()))
"""


@pytest.mark.parametrize(
    ("when", "step", "visible"),
    [
        ("create", "open", False),
        ("create", "write", False),
        ("create", "utime", False),
        ("create", "fsync", False),
        ("create", "link", True),
        ("create", "unlink", True),
        ("overwrite", "open", False),
        ("overwrite", "write", False),
        ("overwrite", "utime", False),
        ("overwrite", "fsync", False),
        ("overwrite", "replace", True),
    ],
)
def test_a_kill_after_any_step_leaves_the_old_or_the_new_contents(
    store: LocalStore, when: str, step: str, visible: bool
) -> None:
    if when == "overwrite":
        run(store.put("a", b"old", Create()))
    done = subprocess.run([sys.executable, "-c", KILLED, step, store.root, when], check=False, timeout=60)
    assert done.returncode == 9
    expected = [b"new" * 100] if visible else [b"old"] if when == "overwrite" else []
    left = leftovers(store)
    assert len(left) == (0 if step in ("replace", "unlink") else 1)
    for _ in range(2):  # cleaning changes nothing that can be seen
        assert [body(store, name) for name in names(store)] == expected
        store.clean_temp(older_than_seconds=-1)
        assert leftovers(store) == []


# --- leftovers ---------------------------------------------------------------------------------------------------------


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_cleaning_removes_old_files_of_dead_processes_only(store: LocalStore) -> None:
    assert store.clean_temp() == 0
    run(store.put("a", b"1", Overwrite()))
    temp = Path(store.root, ".tmp")
    dead, mine = f"{dead_pid()}-{'0' * 16}.part", f"{os.getpid()}-{'0' * 16}.part"
    for name in (dead, mine, "not-ours.part", "notes.txt"):
        (temp / name).write_bytes(b"")
    assert store.clean_temp() == 0
    assert store.clean_temp(older_than_seconds=-1) == 1
    assert sorted(leftovers(store)) == sorted([mine, "not-ours.part", "notes.txt"])
    assert (temp / "locks").is_dir()


def test_cleaning_takes_a_process_that_has_ended_and_that_nobody_waits_for_as_gone(store: LocalStore) -> None:
    """In a container the first process often waits for nobody: killed orphans stay as zombies for as long as it runs."""
    run(store.put("a", b"1", Overwrite()))
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        Path(store.root, ".tmp", f"{process.pid}-{'0' * 16}.part").write_bytes(b"")
        assert store.clean_temp(older_than_seconds=-1, of={process.pid + 1}) == 0
        assert store.clean_temp(older_than_seconds=-1, of={process.pid}) == 1


# --- real file systems ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this machine does not let us mount a small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=256k") as folder:
        store = LocalStore(folder)
        first = run(store.put("a", b"x" * 1000, Create()))
        for work in (
            store.put("b", b"y" * 1_000_000, Create()),
            store.put("a", b"y" * 1_000_000, Replace(first.etag)),
            store.put("c", Blocks(1_000_000), Overwrite()),
        ):
            with pytest.raises(StoreFull) as caught:
                run(work)
            assert caught.value.hint
        assert names(store) == ["a"]
        assert body(store, "a") == b"x" * 1000
        assert leftovers(store) == []
        run(store.delete(["a"]))
        run(store.put("b", b"fits now", Create()))


def test_a_read_only_disk(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=256k") as folder:
        run(LocalStore(folder).put("a/b", b"1", Create()))
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        store = LocalStore(folder)
        assert body(store, "a/b") == b"1"
        assert names(store) == ["a/b"]
        for work in (store.put("c", b"", Create()), store.put("a/b", b"", Overwrite()), store.delete(["a/b"])):
            with pytest.raises(StoreForbidden):
                run(work)
        with pytest.raises(StoreForbidden):
            LocalStore(folder / "new", create=True)


def test_a_folder_without_permission(store: LocalStore) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may do everything")
    run(store.put("a/b", b"1", Create()))
    Path(store.root, "a").chmod(0o000)
    try:
        for work in (store.get("a/b"), store.put("a/c", b"", Create()), store.list("a/")):
            with pytest.raises(StoreForbidden):
                run(work)
    finally:
        Path(store.root, "a").chmod(0o700)
