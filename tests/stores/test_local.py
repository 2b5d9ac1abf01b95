"""What only a directory can do wrong: links, modes, full disks, crashes, leftovers, other programs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.errors import (
    AlreadyExists,
    BadName,
    NotFound,
    StaleWrite,
    StoreMissing,
    UnsupportedPlatform,
)
from swampstore.stores.base import Create, Got, Overwrite, Replace
from swampstore.stores.local import LocalStore


@pytest.fixture
def store(disk_path: Path) -> LocalStore:
    return LocalStore(disk_path / "root", create=True)


def names(store: LocalStore, prefix: str = "") -> list[str]:
    return [item.name for item in run(store.list(prefix)).items]


def body(store: LocalStore, name: str) -> bytes:
    got = run(store.get(name))
    assert isinstance(got, Got)
    return got.body


def leftovers(store: LocalStore) -> list[str]:
    temp = Path(store.root, ".tmp")
    return [entry.name for entry in temp.iterdir() if entry.is_file()] if temp.exists() else []


# --- files, folders, links -------------------------------------------------------------------------------------------


def test_modes_are_private(store: LocalStore) -> None:
    run(store.put("a/b", b"1", Create()))
    run(store.put("a/b", b"2", Overwrite()))
    root = Path(store.root)
    assert (root / "a/b").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in (root, root / "a", root / ".tmp")} == {0o700}


def test_a_replace_of_a_missing_object_is_not_found(store: LocalStore) -> None:
    with pytest.raises(NotFound):
        run(store.put("a", b"1", Replace("1-1")))


def test_a_name_is_an_object_or_a_folder(store: LocalStore) -> None:
    run(store.put("a/b", b"1", Create()))
    for when in (Create(), Overwrite(), Replace("x")):
        with pytest.raises(BadName, match="folder"):
            run(store.put("a", b"2", when))
        with pytest.raises(BadName, match="parent"):
            run(store.put("a/b/c", b"2", when))
    for name in ("a", "a/b/c"):
        with pytest.raises(NotFound):
            run(store.get(name))
        with pytest.raises(NotFound):
            run(store.head(name))
        run(store.delete([name]))
    assert names(store) == ["a/b"]
    assert leftovers(store) == []


def test_a_part_of_a_name_is_too_long_for_a_disk(store: LocalStore) -> None:
    with pytest.raises(BadName, match="long"):
        run(store.put("x" * 300, b"", Create()))


def test_links_and_devices_are_no_objects(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"outside")
    root = Path(store.root)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    (root / b"not-\xff-utf8".decode(errors="surrogateescape")).write_bytes(b"")
    run(store.put("real", b"1", Create()))
    assert names(store) == ["real"]
    for name in ("link", "pipe"):
        with pytest.raises(NotFound):
            run(store.get(name))
        with pytest.raises(NotFound):
            run(store.head(name))
        run(store.delete([name]))
        with pytest.raises(AlreadyExists):
            run(store.put(name, b"2", Create()))
    assert (tmp_path / "secret").read_bytes() == b"outside"
    assert (root / "link").is_symlink()


def test_the_store_s_own_folder_is_hidden(store: LocalStore) -> None:
    run(store.put("a", b"1", Create()))
    run(store.put("a", b"2", Overwrite()))
    run(store.put("sub/.tmp/x", b"3", Create()))
    assert Path(store.root, ".tmp", "locks").is_dir()
    assert names(store) == ["a", "sub/.tmp/x"]
    assert names(store, ".tmp/") == []
    for work in (store.get(".tmp/x"), store.put(".tmp/x", b"", Create()), store.delete([".tmp"])):
        with pytest.raises(BadName):
            run(work)


def test_empty_folders_go_with_the_last_object(store: LocalStore) -> None:
    run(store.put("a/b/c/1", b"", Create()))
    run(store.put("a/2", b"", Create()))
    run(store.delete(["a/b/c/1"]))
    assert [path.name for path in Path(store.root, "a").iterdir()] == ["2"]
    run(store.put("a/b/c/1", b"again", Create()))
    assert body(store, "a/b/c/1") == b"again"


def test_the_root_disappears(store: LocalStore) -> None:
    run(store.put("a/b", b"1", Create()))
    moved = Path(store.root).rename(f"{store.root}-away")
    for work in (store.put("a/c", b"1", Create()), store.put("a/b", b"1", Overwrite()), store.list("")):
        with pytest.raises(StoreMissing):
            run(work)
    assert not Path(store.root).exists()
    assert (moved / "a" / "b").read_bytes() == b"1"


def test_files_of_other_programs_are_objects(store: LocalStore) -> None:
    path = Path(store.root, "data", "model", "latest")
    path.parent.mkdir(parents=True)
    path.write_text("3")
    os.utime(path, ns=(5, 5))
    head = run(store.head("data/model/latest")).info
    assert (head.size, head.modified) == (1, 0)
    path.write_text("4")
    with pytest.raises(StaleWrite):
        run(store.put("data/model/latest", b"5", Replace(head.etag)))


def test_an_etag_does_not_come_back_when_the_clock_does(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = time.time_ns()
    etags = [run(store.put("a", b"0", Create())).etag]
    monkeypatch.setattr(time, "time_ns", lambda: moment - 10**12)
    for n in range(1, 5):
        etags.append(run(store.put("a", b"%d" % n, Replace(etags[-1]))).etag)
    assert len(set(etags)) == 5
    assert etags == sorted(etags)


def test_windows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedPlatform):
        LocalStore(tmp_path)


# --- between processes -------------------------------------------------------------------------------------------------


def increment(root: str, times: int) -> None:
    store = LocalStore(root, durable=False)
    while times:
        got = run(store.get("count"))
        assert isinstance(got, Got)
        with contextlib.suppress(StaleWrite):
            run(store.put("count", b"%d" % (int(got.body) + 1), Replace(got.etag)))
            times -= 1


def test_no_increment_is_lost_between_processes(store: LocalStore) -> None:
    run(store.put("count", b"0", Create()))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=increment, args=(store.root, 50)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert body(store, "count") == b"150"
