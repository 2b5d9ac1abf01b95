"""What the commands say of audit records that wait on this machine, and how they end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from swampstore.client import audit_delivery
from swampstore.errors import StoreUnavailable
from swampstore.stores.local import LocalStore
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
