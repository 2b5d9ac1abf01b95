"""What a store that has lane files promises: one meaning, in memory and on a disk."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import (
    AlreadyExists,
    AmbiguousAppend,
    Misuse,
    NotFound,
    StoreFull,
    StoreMissing,
    StoreUnavailable,
    Undecided,
)
from swampstore.stores import local_lanes
from swampstore.stores.disk import Folders
from swampstore.stores.lanes import lanes_of
from swampstore.stores.local import LocalStore
from swampstore.stores.mounts import file_system, on_local_disk
from swampstore.stores.retry import Retrying
from swampstore.testing.env import FakeEnv
from swampstore.testing.wrappers import CountingStore, FaultyStore, in_order, lost_answer, lost_request
from swampstore.values.lane_file import HEADER_BYTES, LaneHeader, encode_frame, encode_header, lane_salt
from swampstore.values.names import writer_lane
from tests.lanes.conftest import frames_of, open_ns
from tests.lanes.test_format import encode_records, records

LANE = writer_lane(b"w" * 12)
NAME = f"ops/log/{LANE}/lane"
SALT = lane_salt(LANE)
SIZE = 1 << 20


def opened(bare: Any) -> Any:
    lanes = lanes_of(bare)
    assert lanes is not None
    return run(lanes.open_lane(NAME, encode_header(LaneHeader(LANE, 7)), SIZE))  # type: ignore[arg-type]


def put(file: Any, number: int = 0) -> None:
    file.append_now(encode_frame(SALT, file.end, encode_records(records(number, 1)), 1))


def removed(bare: Any, covered: int) -> bool:
    return run(bare.lanes.remove_lane(NAME, covered))


def test_what_is_appended_is_read_at_once_under_its_name(bare: Any) -> None:
    file = opened(bare)
    assert frames_of(bare, NAME).count == 0
    for number in range(3):
        put(file, number)
        assert frames_of(bare, NAME).count == number + 1
    assert frames_of(bare, NAME).end == file.end
    assert [item.name for item in run(bare.list("ops/")).items] == [NAME]


def test_a_name_is_used_once(bare: Any) -> None:
    opened(bare)
    with pytest.raises(AlreadyExists):
        opened(bare)


def test_a_closed_file_takes_nothing(bare: Any) -> None:
    file = opened(bare)
    file.close()
    file.close()
    with pytest.raises(Misuse):
        put(file)
    assert frames_of(bare, NAME).count == 0


def test_a_file_goes_when_its_owner_is_gone_and_all_of_it_is_covered(bare: Any) -> None:
    file = opened(bare)
    put(file)
    middle = file.end
    put(file)
    assert not removed(bare, file.end)  # the owner lives
    file.close()
    assert not removed(bare, 0)
    assert not removed(bare, middle)
    assert run(bare.head(NAME)).info.name == NAME
    assert removed(bare, file.end)
    assert removed(bare, file.end)  # again: it is gone
    assert run(bare.list("ops/")).items == ()


def test_the_folders_above_are_on_the_disk_before_a_file_goes(
    local: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root that covers it may have been renamed by a process that died before its sync."""
    opened(local).close()
    done: list[str] = []
    unlink = os.unlink
    monkeypatch.setattr(Folders, "sync", lambda self, path: done.append(path))
    monkeypatch.setattr(os, "unlink", lambda path: (done.append(path), unlink(path)))
    assert removed(local, 0)
    path = tmp_path / NAME
    assert {str(above) for above in path.parents if above.is_relative_to(tmp_path)} - set(
        done[: done.index(str(path))]
    ) == {str(path.parent)}


def test_an_empty_file_goes_too(bare: Any) -> None:
    opened(bare).close()
    assert removed(bare, 0)


def test_a_sync_of_what_is_not_there_says_so(bare: Any) -> None:
    opened(bare)
    run(bare.lanes.sync_lane(NAME))
    with pytest.raises(NotFound):
        run(bare.lanes.sync_lane("ops/log/other/lane"))


def test_the_layer_of_retries_hands_lanes_through(bare: Any) -> None:
    assert lanes_of(Retrying(bare, FakeEnv())) is bare.lanes
    others = lanes_of(LocalStore("/", lanes=False))
    assert others is not None  # not for its own writers, but those of others are looked after
    assert not others.chosen


def test_wrappers_hand_lanes_through_call_by_call(bare: Any) -> None:
    """One append is one request, also on the way back from a fault."""
    counting = CountingStore(bare)
    faulty = FaultyStore(
        counting,
        in_order([None, lost_request(), None, lost_answer(), None, *[lost_request()] * 2], verbs=["append_lane"]),
    )
    ns = open_ns(faulty)
    ns.put("a", b"1")
    assert counting.requests == {"now": 1, "open_lane": 1, "append_lane": 1}
    ns.put("b", b"2")  # the request is lost, and with it the lane; a new one takes it
    ns.put("c", b"3")  # the answer is lost: in the log it stands twice, with one version
    assert (counting.requests["open_lane"], counting.requests["append_lane"]) == (3, 4)
    with pytest.raises(AmbiguousAppend):
        ns.put("d", b"4")
    assert [entry.key for entry in ns.list()] == ["a", "b", "c"]


# --- on a disk --------------------------------------------------------------------------------------------------------


def test_the_size_is_fixed_in_advance_and_nothing_truncates(local: LocalStore, tmp_path: Path) -> None:
    file = opened(local)
    path = tmp_path / NAME
    assert path.stat().st_size == SIZE
    put(file)
    file.close()
    assert path.stat().st_size == SIZE
    assert not list((tmp_path / ".tmp").iterdir())


def failing(real: Callable[..., Any], at: int, code: int) -> Callable[..., Any]:
    """``real``, whose call number ``at`` fails."""
    calls = 0

    def call(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(code, os.strerror(code))
        return real(*args)

    return call


@pytest.mark.parametrize(
    ("call", "code", "error"),
    [("pwrite", errno.ENOSPC, StoreFull), ("pwrite", errno.EIO, StoreUnavailable), ("fdatasync", errno.EIO, Undecided)],
)
def test_a_failed_append_closes_the_file(
    call: str, code: int, error: type[Exception], local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(local)
    put(file)
    end = file.end
    with monkeypatch.context() as patch:
        patch.setattr(local_lanes.os, call, failing(getattr(os, call), 1, code))
        with pytest.raises(error):
            put(file)
    assert file.end == end
    with pytest.raises(Misuse):
        put(file)
    assert not removed(local, HEADER_BYTES)  # nobody holds it, but it is not covered


def test_short_writes_are_continued(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(local)
    real = os.pwrite
    monkeypatch.setattr(local_lanes.os, "pwrite", lambda fd, data, at: real(fd, data[:7], at))
    put(file)
    assert frames_of(local, NAME).count == 1


STEPS = ("open", "flock", "write", "ftruncate", "fsync", "link", "unlink")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_of_its_creation_a_lane_is_there_or_not(
    step: str, local: LocalStore, tmp_path: Path
) -> None:
    """The child kills itself before that step; whatever it leaves can be listed, read, swept and written beside."""
    child = os.fork()
    if child == 0:
        module = local_lanes.fcntl if step == "flock" else local_lanes.os
        setattr(module, step, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        opened(local)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    there = (tmp_path / NAME).exists()
    assert there == (step == "unlink")
    if there:
        assert (tmp_path / NAME).stat().st_size == SIZE
        assert frames_of(local, NAME).count == 0
        assert removed(local, 0)
    file = opened(local)
    put(file)
    assert frames_of(local, NAME).count == 1
    assert LocalStore(tmp_path, lanes=True).clean_temp(-1) == (step != "open")


def test_killed_in_the_middle_of_an_append_the_rest_stands(local: LocalStore) -> None:
    child = os.fork()
    if child == 0:
        file = opened(local)
        put(file, 0)
        real = os.pwrite

        def torn(fd: int, data: bytes, at: int) -> int:
            real(fd, data[:20], at)
            os.kill(os.getpid(), signal.SIGKILL)
            return 0

        local_lanes.os.pwrite = torn  # type: ignore[assignment]
        put(file, 1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    frames = frames_of(local, NAME)
    assert [record.key for record in frames.records] == ["k/0"]
    assert not removed(local, HEADER_BYTES)
    assert removed(local, frames.end)


def test_a_forked_child_closes_the_file_and_leaves_the_lock_alone(local: LocalStore) -> None:
    file = opened(local)
    put(file)
    child = os.fork()
    if child == 0:
        try:
            put(file)
        except Misuse:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert not removed(local, file.end)  # still locked by the parent
    put(file)
    assert frames_of(local, NAME).count == 2


def test_a_deleted_file_is_noticed(local: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_lanes, "_LOOK_NS", 0)
    file = opened(local)
    put(file)
    (tmp_path / NAME).unlink()
    with pytest.raises(StoreMissing):
        put(file)


def test_a_store_whose_folder_is_gone_takes_no_lane(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "s", create=True, lanes=True)
    (tmp_path / "s").rmdir()
    with pytest.raises(StoreMissing):
        opened(store)


# --- which disks ------------------------------------------------------------------------------------------------------

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /dev/shm rw - tmpfs tmpfs rw
31 22 0:27 / /mnt/team rw - nfs4 server:/team rw
32 31 0:28 / /mnt/team/my\040disk rw - xfs /dev/sdb1 rw
33 22 0:29 / /home rw master:2 - fuse.sshfs host:/home rw
""".strip().splitlines()


MOUNTED = {
    "/data": "ext4",
    "/mnt/team/x": "nfs4",
    "/mnt/teams": "ext4",
    "/mnt/team/my disk/a": "xfs",
    "/home": "fuse.sshfs",
    "/dev/shm/x": "tmpfs",
}


@pytest.mark.parametrize(("path", "found"), MOUNTED.items())
def test_the_file_system_of_a_path(path: str, found: str) -> None:
    assert file_system(path, TABLE) == found


def test_only_disks_known_to_be_local_have_lane_files(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("\n".join(TABLE))
    assert on_local_disk("/data", str(table))
    assert not on_local_disk("/mnt/team", str(table))
    assert not on_local_disk("/home/me", str(table))
    assert not on_local_disk("/data", str(tmp_path / "no-table"))
