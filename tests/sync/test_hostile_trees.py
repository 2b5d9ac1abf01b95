"""Trees with links, devices, unreadable files, odd names, files that change while read, and full or read-only disks."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject, StoreForbidden, StoreFull, StoreUnavailable
from swampstore.limits import PART_BYTES
from swampstore.values.deltas import Put
from swampstore.workers.sync import database
from swampstore.workers.sync.options import STATE_FOLDER, TEMP_PREFIX
from swampstore.workers.sync.tree import Tree
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]
ROOT_USER = os.geteuid() == 0


def leftovers(tree: Path) -> list[str]:
    return [path.name for path in tree.rglob(TEMP_PREFIX + "*")]


def reasons(report: object) -> dict[str, str]:
    return {skip.path: skip.reason for skip in report.skipped}  # type: ignore[attr-defined]


def test_what_is_not_a_file_is_reported(machine: Make, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    a.write("plain", "1")
    (a.tree / "link-to-file").symlink_to(secret / "key")
    (a.tree / "link-to-folder").symlink_to(secret)
    (a.tree / "dangling").symlink_to("nowhere")
    os.mkfifo(a.tree / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(a.tree)
    try:
        listener.bind("socket")
    finally:
        os.chdir(here)
    (a.tree / "back\\slash").write_text("x")
    Path(os.fsdecode(os.fsencode(a.tree) + b"/not-\xff-utf8")).write_text("x")
    report = a.sync()
    listener.close()
    assert report.pushed == 1
    assert set(reasons(report)) == {
        "link-to-file", "link-to-folder", "dangling", "pipe", "socket", "back\\slash", "not-\\xff-utf8",
    }  # fmt: skip
    assert reasons(report)["pipe"] == "a pipe"
    b.sync()
    assert b.files() == {"plain": b"1"}


@pytest.mark.skipif(not ROOT_USER, reason="only root may make device nodes")
def test_a_device_is_reported(machine: Make) -> None:
    a = machine("a")
    try:
        os.mknod(a.tree / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this container may not make device nodes")
    assert reasons(a.sync()) == {"null": "a device"}


def test_a_tracked_file_behind_a_link_is_not_missing(machine: Make, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    a.write("d/x", "1")
    a.write("f", "1")
    a.sync()
    b.sync()
    (a.tree / "d").rename(tmp_path / "moved")
    (a.tree / "d").symlink_to(tmp_path / "moved")
    (a.tree / "f").unlink()
    (a.tree / "f").symlink_to(tmp_path / "moved" / "x")
    report = a.sync()
    assert (report.deleted_remote, set(reasons(report))) == (0, {"d", "f"})
    b.write("d/x", "changed", mtime=OLD + 9)
    b.write("d/new", "new")
    b.sync()
    report = a.sync()
    assert report.pulled == 0
    assert {path.name: path.read_text() for path in (tmp_path / "moved").iterdir()} == {"x": "1"}, "outside: untouched"


@pytest.mark.skipif(ROOT_USER and shutil.which("setpriv") is None, reason="root reads everything")
def test_unreadable_files_and_folders(machine: Make) -> None:
    a = machine("a")
    a.write("ok", "1")
    a.write("closed", "1")
    a.write("folder/x", "1")
    a.sync()
    a.write("closed", "22")
    (a.tree / "closed").chmod(0)
    (a.tree / "folder").chmod(0)
    seen: list[str] = []
    real_open, real_scandir = os.open, os.scandir

    def refusing(path: object, *args: object, **more: object) -> int:
        if path in ("closed", "folder"):
            seen.append(str(path))
            raise PermissionError(13, "Permission denied", path)
        return real_open(path, *args, **more)  # type: ignore[call-overload, no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        if ROOT_USER:  # permission bits do not stop root: refuse in its place
            patch.setattr(os, "open", refusing)
        report = a.sync()
    assert real_scandir is os.scandir
    assert report.deleted_remote == 0
    assert set(reasons(report).values()) == {"permission denied"}
    assert set(reasons(report)) == {"closed", "folder"}
    (a.tree / "folder").chmod(0o755)
    (a.tree / "closed").chmod(0o644)
    assert a.sync().pushed == 1


@pytest.mark.parametrize("size", [100, PART_BYTES + 100])
def test_a_file_that_changes_while_it_is_read(machine: Make, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    a, b = machine("a"), machine("b")
    path = a.write("busy", os.urandom(size))
    a.write("calm", "1")
    real = Tree.chunks

    def growing(self: Tree, key: str, found: object, chunk_bytes: int) -> Iterator[bytes]:
        for chunk in real(self, key, found, chunk_bytes):  # type: ignore[arg-type]
            yield chunk
            if key == "busy":
                path.write_bytes(b"other" * 30)

    with monkeypatch.context() as patch:
        patch.setattr(Tree, "chunks", growing)
        report = a.sync()
    assert (report.pushed, set(reasons(report))) == (1, {"busy"})
    b.sync()
    assert set(b.files()) == {"calm"}
    a.sync()
    b.sync()
    assert b.files() == a.files()


def test_a_file_that_changes_while_it_is_pulled_is_kept(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = machine("a"), machine("b")
    a.write("x", "1")
    a.write("y", "1")
    a.sync()
    b.sync()
    a.write("x", "from a", mtime=OLD + 5)
    a.remove("y")
    a.write("z", "z of a")
    a.sync()
    real = Tree.temporary

    def meanwhile(self: Tree, key: str, mode: int) -> object:
        b.write(key, f"edited on b: {key}", mtime=OLD + 9)
        return real(self, key, mode)

    with monkeypatch.context() as patch:
        patch.setattr(Tree, "temporary", meanwhile)
        report = b.sync()
    assert set(reasons(report)) == {"x", "z"}
    assert b.files() == {"x": b"edited on b: x", "z": b"edited on b: z"}
    b.sync()
    a.sync()
    assert a.files() == b.files()
    assert set(a.files().values()) >= {b"edited on b: x", b"from a", b"edited on b: z", b"z of a"}


def test_a_folder_where_a_file_should_be(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("p", "file")
    a.sync()
    b.write("p/inside", "folder")
    report = b.sync()
    assert set(reasons(report)) == {"p"}
    report = a.sync()
    assert set(reasons(report)) == {"p/inside"}
    assert a.files() == {"p": b"file"}
    assert b.files() == {"p/inside": b"folder"}
    a.remove("p")
    a.sync()
    a.sync()
    b.sync()
    assert a.files() == b.files() == {"p/inside": b"folder"}


def test_keys_of_syncs_own_files_are_ignored(machine: Make) -> None:
    a = machine("a")
    run(a.namespace().append([Put(key=f"{STATE_FOLDER}/x", data=b"x"), Put(key=f"d/{TEMP_PREFIX}1", data=b"x")]))
    assert a.sync().idle
    assert a.files() == {}


def test_old_temporary_files_are_cleaned(machine: Make) -> None:
    a = machine("a")
    a.write(f"d/{TEMP_PREFIX}old", "x", mtime=OLD)
    a.write(f"d/{TEMP_PREFIX}young", "x", mtime=None)
    report = a.sync()
    assert (report.pushed, leftovers(a.tree)) == (0, [f"{TEMP_PREFIX}young"])


def test_lost_and_broken_contents_are_reported(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    a.write("lost", os.urandom(300_000))
    a.write("broken", os.urandom(300_001))
    a.write("huge", os.urandom(PART_BYTES + 1))
    a.write("fine", "1")
    a.sync()
    for name, held in list(a.store._objects.items()):
        if "/blob/" in name and len(held.body) != 300_001:
            run(a.store.delete([name]))
        elif "/blob/" in name:
            a.store._objects[name] = type(held)(b"?" + held.body[1:], held.etag, held.modified)
    report = b.sync()
    assert report.pulled == 1
    assert set(reasons(report)) == {"lost", "broken", "huge"}
    assert b.files() == {"fine": b"1"}
    assert leftovers(b.tree) == []
    assert a.sync().idle, "nothing was deleted for it"


def test_a_damaged_state_says_what_to_do(machine: Make) -> None:
    a = machine("a")
    a.write("x", "1" * 100)
    a.sync()
    (state,) = (a.tree / STATE_FOLDER).glob("*.db")
    assert state.stat().st_mode & 0o777 == 0o600
    state.write_bytes(b"not a database" * 1000)
    with pytest.raises(CorruptObject, match="state is damaged") as caught:
        a.sync()
    assert "delete that file" in caught.value.hint
    shutil.rmtree(a.tree / STATE_FOLDER)
    report = a.sync()
    assert (report.pushed, report.pulled, report.conflicts) == (0, 0, [])


def test_a_linked_state_folder_is_refused(machine: Make, tmp_path: Path) -> None:
    a = machine("a")
    (tmp_path / "elsewhere").mkdir()
    (a.tree / STATE_FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreForbidden, match="link"):
        a.sync()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    if not ROOT_USER:
        pytest.skip("only root may mount a small file system")
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where)], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("this container may not mount a small file system")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill_disk_test(a: Machine, b: Machine) -> None:
    for number in range(20):
        a.write(f"d/{number:02}", os.urandom(100_000))
    a.sync()
    with pytest.raises(StoreFull):
        b.sync()
    assert leftovers(b.tree) == []
    assert all(a.files()[key] == body for key, body in b.files().items()), "nothing half-written is visible"


def test_a_full_disk(machine: Make, small_disk: Path) -> None:
    a = machine("a")
    fill_disk_test(a, Machine(a.store, small_disk / "b"))


@pytest.mark.parametrize("known", [False, True])
def test_a_disk_without_room_for_the_state(machine: Make, small_disk: Path, known: bool) -> None:
    """However little is left: it works, or it says that the disk is full."""
    a, b = machine("a"), Machine(machine("a").store, small_disk / "b")
    for number in range(300):
        a.write(f"d/{number:03}", "")
    a.sync()
    b.tree.mkdir(exist_ok=True)
    if known:
        b.sync(prefix="d/00")
    full = 0
    for pages in range(24):
        left = shutil.disk_usage(small_disk).free - 4096 * pages
        if left > 0:
            (small_disk / "filler").write_bytes(bytes(left))
        try:
            b.sync()
        except StoreFull:
            full += 1
        (small_disk / "filler").unlink(missing_ok=True)
    assert full > 2
    b.sync()
    assert a.files() == b.files()


IOERR, CANTOPEN, BUSY = sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY


@pytest.mark.parametrize(
    ("code", "full", "expected"),
    [
        (sqlite3.SQLITE_FULL, False, StoreFull),
        (sqlite3.SQLITE_IOERR_SHMSIZE, False, StoreFull),
        (IOERR, True, StoreFull),
        (CANTOPEN, True, StoreFull),
        (IOERR, False, StoreUnavailable),
        (CANTOPEN, False, StoreForbidden),
        (BUSY, True, StoreUnavailable),
    ],
)
def test_what_the_state_says_of_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, full: bool, expected: type[Exception]
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    real = os.fsync

    def fsync(fd: int) -> None:
        if full:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(expected), database.typed(str(tmp_path / "state")):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_says_it_is_full(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = machine("a"), machine("b")
    real, written = os.write, [0]

    def full(fd: int, data: bytes) -> int:
        written[0] += len(data)
        if written[0] > 900_000:
            real(fd, data[:10])
            raise OSError(28, "No space left on device")
        return real(fd, data)

    for number in range(20):
        a.write(f"d/{number:02}", os.urandom(100_000))
    a.sync()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreFull):
            b.sync()
    assert leftovers(b.tree) == []
    assert all(a.files()[key] == body for key, body in b.files().items())
    assert b.sync().conflicts == []
    assert a.files() == b.files()
    assert a.sync().idle


def test_a_read_only_folder(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = machine("a"), machine("b")
    a.write("d/x", "1")
    a.write("e/x", "1")
    a.sync()
    b.sync()
    for name in ("d/y", "e/y"):
        a.write(name, "2")
    a.sync()
    real = os.open

    def refusing(path: object, flags: int, *args: object, **more: object) -> int:
        at = os.readlink(f"/proc/self/fd/{more['dir_fd']}") if more.get("dir_fd") else ""
        nameless = getattr(os, "O_TMPFILE", os.O_CREAT)
        if (flags & os.O_CREAT or flags & nameless == nameless) and at.endswith("/b/d"):
            raise OSError(30, "Read-only file system")
        return real(path, flags, *args, **more)  # type: ignore[call-overload, no-any-return]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusing)
        report = b.sync()
    assert reasons(report) == {"d/y": "the file system is read-only"}
    assert report.pulled == 1
    assert b.sync().pulled == 1
