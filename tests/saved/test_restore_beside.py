"""Restore beside what is not entries, or not seen any more: it leaves alone what it does not restore, and descends from what lies there."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.workers import restore as worker
from swampstore.workers.ground import append_records
from tests.saved.support import Scene
from tests.saved.test_restore import changed, kept_losers


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_of_equal_contents_the_time_comes_back_too(scene: Scene) -> None:
    ns = scene.open()
    expires = scene.env.wall + 3_600_000
    ns.put("k", b"same", expires=expires)
    ns.save("one")
    ns.put("k", b"same")
    assert changed(scene.open(), dry_run=False) == (0, 1, 0)
    entry = scene.open().get("k")
    assert entry is not None
    assert entry.expires == expires
    assert changed(scene.open()) == (0, 0, 0)


def test_what_has_expired_is_replaced_not_kept_beside(scene: Scene) -> None:
    """Nobody sees it, but it lies there: it is what the put descends from."""
    ns = scene.open()
    ns.put("k", b"old")
    ns.save("one")
    ns.put("k", b"short", expires=scene.env.wall + 60_000)
    scene.env.advance(120)
    assert changed(scene.open(), dry_run=False) == (1, 0, 0)
    scene.open().compact()
    assert scene.contents() == {"k": b"old"}
    assert kept_losers(scene) == set()


def test_runtime_state_and_kept_conflicts_stay_as_they_are(scene: Scene) -> None:
    ns = scene.open()
    core = scene.core(ns)
    ns.put("lease/a", b"then", record_class="ephemeral")
    ns.put("k", b"1")
    ns.save("one")
    for body in (b"2", b"3"):  # neither knows of the other
        meta = Meta(size=1, at=Inline(body), base=worker.FROM_NOTHING)
        run(append_records(core, [put_record("twice", core.writer.new_version(), meta)]))
    ns.put("lease/a", b"now", record_class="ephemeral")
    ns.put("lease/b", b"new", record_class="ephemeral")
    ns.compact()
    assert kept_losers(scene) == {"twice"}
    assert changed(scene.open(), dry_run=False) == (0, 0, 1)
    assert scene.contents() == {"k": b"1", "lease/a": b"now", "lease/b": b"new"}
    assert kept_losers(scene) == {"twice"}
