"""What counts as away, beside a store that does not answer: one that is known here, and is gone, full or read-only."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

import swampstore
from swampstore.errors import NotDelivered, StoreForbidden, StoreFull, StoreMissing, SwampError
from swampstore.stores import local_lanes
from tests.spool.desk import Machine


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "SWAMP_SPOOL_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(local_lanes, "_LOOK_NS", 0)


def refuse(machine: Machine, error: SwampError, cause: OSError | None = None) -> None:
    def before(verb: str, name: str) -> None:
        if verb == "put":
            raise error from cause

    machine.store.before = before


FULL = (StoreFull("no space left"), None)
READ_ONLY = (StoreForbidden("read-only"), OSError(errno.EROFS, "Read-only file system"))
REFUSED = (StoreForbidden("not allowed"), OSError(errno.EACCES, "Permission denied"))
EXPIRED = (StoreForbidden("403 ExpiredToken"), None)


@pytest.mark.parametrize(("error", "cause"), [FULL, READ_ONLY])
def test_a_known_store_that_is_full_or_read_only_is_away(
    tmp_path: Path, error: SwampError, cause: OSError | None
) -> None:
    machine = Machine(tmp_path)
    ns = machine.process().namespace("ns")
    topic = ns.audit("t")
    topic.write("before")
    refuse(machine, error, cause)
    assert topic.write("kept").spooled
    machine.env.beat()
    assert topic.write("kept too").spooled
    with pytest.raises(NotDelivered):
        ns.audit("t", when_down="fail").write("x")
    machine.store.before = lambda verb, name: None
    machine.env.beat()
    assert [record.data for record in machine.found()] == ["before", "kept", "kept too"]


@pytest.mark.parametrize(("error", "cause"), [REFUSED, EXPIRED])
def test_a_refusal_is_an_answer_and_is_said_at_once(tmp_path: Path, error: SwampError, cause: OSError | None) -> None:
    machine = Machine(tmp_path)
    topic = machine.topic()
    topic.write("before")
    refuse(machine, error, cause)
    with pytest.raises(StoreForbidden):
        topic.write("x")
    assert not machine.base.exists()


@pytest.mark.parametrize("error", [StoreFull("no space left"), StoreMissing("no such bucket")])
def test_what_was_never_proved_is_no_store_to_wait_for(tmp_path: Path, error: SwampError) -> None:
    machine = Machine(tmp_path)
    refuse(machine, error)
    with pytest.raises(type(error)):
        machine.topic().write("x")
    assert not machine.base.exists()


def test_a_directory_that_vanishes_while_it_is_open_or_before_is_away_and_is_not_made_anew(tmp_path: Path) -> None:
    root, away = tmp_path / "team", tmp_path / "away"
    store = swampstore.open(str(root), create=True)
    ns = store.namespace("ns")
    assert not ns.audit("t").write("before").spooled
    os.rename(root, away)
    assert ns.audit("t").write("while open").spooled
    with pytest.raises(StoreMissing):
        ns.put("k", b"v")
    with pytest.raises(StoreMissing):
        list(ns.scan())
    with swampstore.open(str(root), one_shot=True) as later:
        assert later.namespace("ns").audit("t").write("one shot").spooled
        for call in (
            lambda: later.namespace("ns").put("k", b"v"),
            lambda: later.namespace("ns").get("k"),
            lambda: later.namespaces(),
            lambda: later.namespace("ns").queue("q").status(),
        ):
            with pytest.raises(StoreMissing):
                call()
    store.close()
    assert not root.exists()
    os.rename(away, root)
    with swampstore.open(str(root)) as back:
        assert back.namespace("ns").drain_spool().left == 0
        found = [record.data for record in back.namespace("ns").audit("t").read()]
        assert found == ["before", "while open", "one shot"]


def test_a_slip_in_a_path_makes_no_spool(tmp_path: Path) -> None:
    swampstore.open(str(tmp_path / "team"), create=True).namespace("ns").put("k", b"v")
    with pytest.raises(StoreMissing):
        swampstore.open(str(tmp_path / "taem"))
    shutil.rmtree(tmp_path / "team")
    shutil.rmtree(tmp_path / "XDG_CACHE_HOME")
    with pytest.raises(StoreMissing):
        swampstore.open(str(tmp_path / "team"))
    assert not (tmp_path / "SWAMP_SPOOL_DIR").exists()
