"""What a saved snapshot holds: all that it names, and not what was made after it."""

from __future__ import annotations

import pytest

from swampstore.env.blocking import run
from swampstore.errors import MissingObject
from swampstore.limits import CLOCK_OFF_MS
from swampstore.protocols import pins
from swampstore.protocols.pins import Held
from swampstore.stores.base import Create, Overwrite
from swampstore.values.entry import Blob, Meta, put_record
from swampstore.values.names import unique
from swampstore.values.root import NO_GARBAGE, Garbage
from swampstore.workers.compactor import Compactor
from swampstore.workers.ground import append_records
from tests.saved.support import BIG, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


def churn(scene: Scene, days: int) -> None:
    """Every day everything is replaced."""
    for day in range(days):
        ns = scene.open()
        ns.put_many({f"k/{number:03}": b"%d" % day for number in range(50)})
        ns.put("big", BIG + b"%d" % day)
        ns.compact()
        scene.later(days=2)


def test_a_namespace_that_goes_on_does_not_grow_by_an_old_snapshot(scene: Scene) -> None:
    churn(scene, 1)
    ns = scene.open()
    ns.save("one")
    held = len(scene.store.names("ns/shard/")), len(scene.store.names("ns/blob/"))
    sizes = []
    for _ in range(4):
        churn(scene, 2)
        root = scene.core(scene.open()).register
        sizes.append(
            (
                len(run(root.read()).root.garbage),
                len(scene.store.names("ns/shard/")),
                len(scene.store.names("ns/blob/")),
            )
        )
    assert sizes[0] == sizes[-1]
    assert sizes[-1][1] <= held[0] + 2
    assert sizes[-1][2] <= held[1] + 2
    old = scene.open().snapshot(saved="one")
    assert old.read("big") == BIG + b"0"
    assert old.read("k/007") == b"0"


def skewed(scene: Scene, ahead_ms: int) -> None:
    """``big`` is uploaded by a process whose clock is ahead, saved, and replaced."""
    core = scene.core(scene.open())
    part = unique(core.place.clock.now_ms() + ahead_ms, bytes(10))
    run(scene.store.put(f"ns/blob/{part}", BIG, Create()))
    meta = Meta(size=len(BIG), at=Blob(part))
    run(append_records(core, [put_record("big", core.writer.new_version(), meta)]))
    scene.open().save("one")
    scene.open().put("big", b"small")
    scene.later()
    scene.later()


def test_contents_whose_maker_was_ahead_are_held(scene: Scene) -> None:
    skewed(scene, CLOCK_OFF_MS)
    assert scene.open().snapshot(saved="one").read("big") == BIG


def test_without_that_allowance_they_would_be_lost(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "CLOCK_OFF_MS", -1)
    skewed(scene, CLOCK_OFF_MS)
    with pytest.raises(MissingObject):
        scene.open().snapshot(saved="one").read("big")


def test_what_is_held_by_whom() -> None:
    new = unique(10_000_000_000, bytes(10))
    old = unique(1, bytes(10))
    pin, unreadable = Held("p", 5), Held("u", 0)
    snapshot = Held("s", 5, frozenset({f"shard/{new}"}), 1000)

    def holds(held: Held, name: str, since: int = 6) -> bool:
        return held.holds(Garbage(name, since, 0))

    assert not any(holds(held, f"blob/{old}", 5) for held in (pin, snapshot))
    assert holds(unreadable, f"blob/{new}", 1)
    assert holds(pin, f"shard/{new}")
    assert holds(pin, f"blob/{new}")
    assert holds(snapshot, f"shard/{new}")
    assert not holds(snapshot, f"shard/{old}")
    assert holds(snapshot, f"pack/{old}")
    assert holds(snapshot, f"audit/{old}")
    assert not holds(snapshot, f"pack/{new}")


def test_a_snapshot_that_cannot_be_read_holds_everything(scene: Scene) -> None:
    churn(scene, 1)
    scene.open().save("one")
    body = scene.store.raw("ns/saved/one")
    run(scene.store.inner.put("ns/saved/one", b"damaged", Overwrite()))
    churn(scene, 2)
    run(scene.store.inner.put("ns/saved/one", body, Overwrite()))
    assert scene.open().snapshot(saved="one").read("big") == BIG + b"0"


def test_what_a_snapshot_names_is_no_orphan_when_the_root_forgot_it(scene: Scene) -> None:
    """A root that was lost and made again has no garbage list."""
    import msgspec

    churn(scene, 1)
    ns = scene.open()
    ns.save("one")
    ns.put("big", b"small")
    ns.put_many({f"k/{number:03}": b"x" for number in range(50)})
    ns.compact()
    core = scene.core(scene.open())
    seen = run(core.register.read())
    assert seen.root.garbage
    run(core.register.publish(seen, msgspec.structs.replace(seen.root, garbage_raw=NO_GARBAGE)))
    scene.later()
    scene.later()
    old = scene.open().snapshot(saved="one")
    assert old.read("big") == BIG + b"0"
    assert old.read("k/000") == b"0"
    scene.open().delete_saved("one")
    scene.later()
    run(Compactor(core.place, core.register).sweep_once(insist=True))
    assert not scene.store.names("ns/blob/")
