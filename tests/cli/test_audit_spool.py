"""What the commands say of audit records that wait on this machine, and how they end."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from swampstore.client import audit_delivery
from swampstore.errors import StoreForbidden, StoreFull, StoreUnavailable, SwampError
from swampstore.stores.local import LocalStore
from swampstore.workers import audit_drain as audit_drain_worker
from swampstore_cli.commands import audit_drain
from tests.cli.conftest import Swamp


async def away(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable("no route")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is delivered in the background: what a test sees, its command has done."""

    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(audit_delivery.Spools, "begin", lambda _self: None)
    monkeypatch.setattr(audit_delivery.Spools, "_start", lambda _self: None)
    monkeypatch.setattr(audit_delivery.Spools, "close", nothing)


@pytest.fixture
def spool(swamp: Swamp, store: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a spool with two records."""
    monkeypatch.setenv("SWAMP_SPOOL_DIR", str(user / "spool"))
    swamp("object", "put", "k", stdin=b"v")
    with monkeypatch.context() as cut:
        cut.setattr(audit_delivery.Delivery, "_append", away)
        for text in "ab":
            assert swamp("audit", "append", "t", "--text", text).code == 76
    (folder,) = (user / "spool").glob("*/default")
    return folder


@contextmanager
def delivering(folder: Path) -> Iterator[None]:
    """Another process has the spool."""
    fd = os.open(folder / "drain", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


def test_showing_delivers_nothing_and_says_by_its_code_that_records_wait(swamp: Swamp, spool: Path) -> None:
    for _ in range(2):
        done = swamp("audit", "drain", "--show")
        assert (done.code, "2 audit records" in done.out, str(spool) in done.out) == (76, True, True)
    assert swamp("audit", "drain", "--show", "--namespace", "other").code == 0
    assert swamp("audit", "drain").code == 0
    assert swamp("audit", "drain", "--show").code == 0


def test_it_waits_for_another_one_that_delivers(swamp: Swamp, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = delivering(spool)
    other.__enter__()

    def wait(_seconds: float) -> None:
        other.__exit__(None, None, None)

    monkeypatch.setattr(audit_drain.time, "sleep", wait)
    done = swamp("audit", "drain", "--json")
    assert "another process is delivering; waiting" in done.err
    (one,) = done.document["spools"]
    assert (done.code, one["records"], one["busy"], one["spool"]["writes"]) == (0, 2, False, 0)


def test_but_not_for_ever(swamp: Swamp, spool: Path) -> None:
    with delivering(spool):
        done = swamp("audit", "drain", "--wait", "0s")
        assert (done.code, "delivering still" in done.out) == (76, True)
    assert swamp("audit", "drain").code == 0


def test_what_is_set_aside_is_told_until_somebody_has_looked(swamp: Swamp, spool: Path) -> None:
    first = min(spool.glob("*.rec"))
    first.write_bytes(b"damaged")
    for _ in range(2):
        done = swamp("audit", "drain")
        assert (done.code, str(spool) in done.out, "move them away" in done.out) == (1, True, True)
    assert swamp("audit", "drain", "--show").code == 1
    assert swamp("audit", "query", "t").out.count("\n") == 1
    for file in spool.glob("*.bad"):
        file.unlink()
    assert swamp("audit", "drain").code == 0


def test_one_namespace_that_cannot_be_delivered_holds_up_no_other(
    swamp: Swamp, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(audit_delivery.Delivery, "_append", away)
        assert swamp("audit", "append", "t", "--text", "c", "--namespace", "last").code == 76
    lock = spool / "drain"
    lock.mkdir()
    done = swamp("audit", "drain", "--json")
    assert (done.code, done.error["code"]) == (1, "spool-unusable")
    assert [one["spool"]["writes"] for one in done.document["spools"]] == [2, 0]


@pytest.mark.parametrize("command", ["doctor", "status"])
@pytest.mark.parametrize("named", [(), ("--namespace", "default")])
def test_of_a_store_that_does_not_answer_it_is_said_what_waits(
    swamp: Swamp, spool: Path, monkeypatch: pytest.MonkeyPatch, command: str, named: tuple[str, ...]
) -> None:
    line = ("datastore", command, *named)
    for verb in ("get", "list", "many", "now", "head"):
        monkeypatch.setattr(LocalStore, verb, away)
    monkeypatch.setenv("SWAMP_TIMEOUT", "0.2")
    done = swamp(*line)
    assert (done.code, "2 audit records" in done.out, str(spool) in done.out) == (75, True, True)
    assert "no route" in done.err
    done = swamp(*line, "--json")
    assert (done.code, done.error["code"]) == (75, "store-unavailable")
    assert done.document["spools"][0]["spool"]["records"] == 2


def refusing(error: SwampError, cause: OSError | None = None) -> Callable[..., Any]:
    async def refused(*_: Any, **__: Any) -> Any:
        raise error from cause

    return refused


DRAINED = {"namespace", "records", "writes", "appends", "left", "set_aside", "busy", "spool"}


@pytest.mark.parametrize("proved", [True, False])
@pytest.mark.parametrize("named", [(), ("--namespace", "default")])
def test_a_store_that_is_gone_is_away_to_every_command_that_tells_what_waits(
    swamp: Swamp, spool: Path, store: Path, user: Path, named: tuple[str, ...], proved: bool
) -> None:
    store.rename(user / "unmounted")
    if not proved:  # the proof is kept for 30 days, records wait as long as it takes
        shutil.rmtree(user / "home" / ".cache")
    for command in ("status", "doctor"):
        done = swamp("datastore", command, *named)
        assert (done.code, "2 audit records" in done.out, str(spool) in done.out) == (75, True, True)
        assert "does not exist" in done.err
        done = swamp("datastore", command, *named, "--json")
        assert (done.code, done.error["code"]) == (75, "store-missing")
        assert done.document["spools"][0]["spool"]["records"] == 2
    done = swamp("audit", "drain", *named, "--json")
    assert (done.code, done.error["code"]) == (75, "store-missing")
    (one,) = done.document["spools"]
    assert set(one) == DRAINED
    assert (one["records"], one["left"], one["busy"]) == (0, 2, False)
    (user / "unmounted").rename(store)
    assert swamp("audit", "drain").code == 0


def test_a_slip_in_the_path_is_still_an_error(swamp: Swamp, spool: Path, user: Path) -> None:
    for command in (("datastore", "status"), ("datastore", "doctor"), ("audit", "drain")):
        done = swamp(*command, "--store", user / "slip", "--json")
        assert (done.code, done.error["code"], done.out) == (1, "store-missing", "")


@pytest.mark.parametrize(
    ("error", "cause", "code"),
    [
        (StoreFull("no space left"), None, 75),
        (StoreForbidden("read-only"), OSError(errno.EROFS, "Read-only file system"), 75),
        (StoreForbidden("not allowed"), OSError(errno.EACCES, "Permission denied"), 1),
    ],
)
def test_a_store_that_takes_nothing_now_is_away_and_one_that_refuses_is_not(
    swamp: Swamp, spool: Path, monkeypatch: pytest.MonkeyPatch, error: SwampError, cause: OSError | None, code: int
) -> None:
    monkeypatch.setattr(audit_drain_worker, "_deliver", refusing(error, cause))
    done = swamp("audit", "drain", "--json")
    assert (done.code, done.error["code"]) == (code, error.code)
    assert done.document["spools"][0]["left"] == 2
    done = swamp("audit", "drain")
    assert (done.code, "delivered" in done.out, "2 audit records" in done.out) == (code, False, True)


def test_what_was_delivered_before_the_store_went_away_is_told(
    swamp: Swamp, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = audit_drain_worker._deliver
    monkeypatch.setattr(audit_drain_worker, "_batch", lambda waiting: ([waiting[0]], list(waiting[1:])))

    async def once(*arguments: Any) -> Any:
        if arguments[-1].records:
            raise StoreUnavailable("no route")
        return await deliver(*arguments)

    monkeypatch.setattr(audit_drain_worker, "_deliver", once)
    done = swamp("audit", "drain", "--json")
    (one,) = done.document["spools"]
    assert (done.code, one["records"], one["left"]) == (75, 1, 1)
