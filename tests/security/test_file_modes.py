"""Who may read a store in a directory, and what a sync leaves: its user; its group where the folder says so."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import swampstore
from swampstore.stores import disk

OTHER_USER, TEAM = 54321, 54322


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def work(root: Path, key: str) -> None:
    """Everything that makes files: objects, replaced objects, tickets, a floor, temporary and lock files."""
    with swampstore.open(str(root)) as store:
        ns = store.namespace("ops")
        ns.put_many({key: bytes(9000), f"{key}2": bytes(9000)})
        ns.compact()
        for number in range(40):
            with ns.queue("q", 2).acquire(deadline=10):
                pass
            if number % 20 == 0:
                ns.update("n", lambda old: b"1")
        with ns.lock("deploy", deadline=10) as held:
            held.put("locked", key)
        assert len(ns.read(key)) == 9000


def modes(root: Path) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): stat.S_IMODE(path.lstat().st_mode) for path in root.rglob("*")}


def test_a_store_is_private(folder: Path) -> None:
    root = folder / "store"
    root.mkdir(0o755)
    work(root, "a")
    assert {mode for name, mode in modes(root).items() if (root / name).is_file()} == {0o600}
    assert {mode for name, mode in modes(root).items() if (root / name).is_dir()} == {0o700}


def test_a_store_that_is_made_is_private_itself(folder: Path) -> None:
    swampstore.open(str(folder / "new"), create=True).close()
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o700


def test_a_folder_that_its_group_may_write_is_shared_with_it(folder: Path) -> None:
    """Whatever the umask says, as with a shared repository of git. Others get nothing."""
    root = folder / "store"
    root.mkdir()
    root.chmod(0o2775)
    work(root, "a")
    assert {mode for name, mode in modes(root).items() if (root / name).is_file()} == {0o660}
    assert {mode for name, mode in modes(root).items() if (root / name).is_dir()} == {0o2770}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may act as another user")
@pytest.mark.parametrize("shared", [True, False])
def test_another_user_of_the_group_can_work_in_it(folder: Path, shared: bool) -> None:
    root = folder / "store"
    root.mkdir()
    os.chown(root, -1, TEAM)
    root.chmod(0o2775)
    if not shared:  # the guard off: what is made is private to its maker
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk.Modes, "below", classmethod(lambda cls, root: cls()))
            work(root, "a")
    else:
        work(root, "a")
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([TEAM])
            os.setgid(OTHER_USER)
            os.setuid(OTHER_USER)
            os.environ["HOME"] = os.environ["XDG_CACHE_HOME"] = str(folder)
            work(root, "b")
        except swampstore.SwampError:
            os._exit(3)
        except BaseException as error:  # noqa: BLE001 - the child must end here, whatever it is
            print(repr(error), file=sys.stderr)
            os._exit(4)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (0 if shared else 3)
    if shared:
        work(root, "c")
