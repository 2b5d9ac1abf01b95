"""What others may have laid into the spool, or where the spool is to be: nothing of it is taken, nothing is given away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swampstore.errors import SpoolUnusable
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.spool import Bundle, encode_bundle
from swampstore.values.version import hlc_of, make_version
from tests.spool.desk import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_file_that_would_put_an_entry_is_set_aside(machine: Machine) -> None:
    """Only audit records are delivered: whoever can write a file here is not whoever may write into the store."""
    topic = machine.topic()
    machine.down = True
    for number in range(2):
        topic.write(number)
    url = machine.process().url
    entry = put_record("secret", make_version(hlc_of(machine.env.wall), b"w" * 12, 1), Meta(size=1, at=Inline(b"x")))
    (machine.folder / machine.files()[0]).write_bytes(encode_bundle(Bundle(url, "ns", [entry])))
    machine.down = False
    machine.env.beat()
    assert [record.data for record in machine.found()] == [1]
    assert machine.process().namespace("ns").get("secret") is None
    assert len(list(machine.folder.glob("*.bad"))) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users are told apart by numbers")
def test_a_folder_of_another_user_holds_no_records(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who made it could read them, and take them away."""
    machine.folder.mkdir(parents=True)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    machine.down = True
    with pytest.raises(SpoolUnusable, match="this user"):
        machine.topic().write("x")
    assert not machine.files()
