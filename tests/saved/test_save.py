"""Saving: the log folded in first, held against the sweep from the first instant on, listed, deleted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swampstore.env.blocking import run
from swampstore.errors import AlreadyExists, BadName, CorruptObject, MissingObject, NotFound
from swampstore.limits import PIN_TTL_MS
from swampstore.protocols import pins, saved
from swampstore.protocols.pins import Hold, list_held
from swampstore.stores.base import Overwrite
from swampstore.workers.compactor import Compactor
from tests.saved.support import BIG, Scene
from tests.workers.world import DAY_S, Crash


@pytest.fixture
def scene() -> Scene:
    return Scene()


def filled(scene: Scene) -> None:
    ns = scene.open()
    ns.put_many({f"k/{number:03}": b"%d" % number for number in range(50)})
    ns.put("big", BIG)
    ns.compact()
    ns.put("tail", b"not folded yet")


def overwritten(scene: Scene) -> None:
    """Everything is replaced, and time passes."""
    ns = scene.open()
    ns.put("big", b"small now")
    ns.put_many({f"k/{number:03}": b"new" for number in range(50)})
    ns.delete("tail")
    scene.later()


def test_a_saved_snapshot_holds_what_was_acknowledged_before(scene: Scene) -> None:
    filled(scene)
    before = scene.contents()
    done = scene.open().save("one")
    overwritten(scene)
    old = scene.open().snapshot(saved="one")
    assert {entry.key: old.read(entry.key) for entry in old.scan()} == before
    assert old.read("tail") == b"not folded yet"
    assert old.read("big") == BIG
    assert scene.open().snapshot(saved="one").get("k/000") is not None
    assert old.root_version == done.root_version
    assert scene.contents()["big"] == b"small now"


def test_once_deleted_what_it_held_is_swept(scene: Scene) -> None:
    filled(scene)
    scene.open().save("one")
    overwritten(scene)
    assert len(scene.store.names("ns/blob/")) == 1
    assert scene.open().delete_saved("one").name == "one"
    scene.later()
    assert not scene.store.names("ns/blob/")
    with pytest.raises(NotFound):
        scene.open().snapshot(saved="one")


def test_names(scene: Scene) -> None:
    filled(scene)
    ns = scene.open()
    for name in ("", "a/b", "../root", ".x", "a b", "x" * 65):
        with pytest.raises(BadName):
            ns.save(name)
    ns.save("one")
    ns.put("more", b"")
    with pytest.raises(AlreadyExists):
        ns.save("one")
    assert not scene.store.names("ns/pin/")
    with pytest.raises(NotFound):
        ns.delete_saved("two")
    with pytest.raises(NotFound):
        ns.snapshot(saved="two")


def test_a_namespace_without_anything_cannot_be_saved(scene: Scene) -> None:
    with pytest.raises(NotFound):
        scene.open().save("one")
    assert not scene.store.names("ns/")


def test_listing_shows_damaged_ones_and_they_can_be_deleted(scene: Scene) -> None:
    filled(scene)
    ns = scene.open()
    ns.save("good")
    run(scene.store.inner.put("ns/saved/bad", b"SWAMP nonsense", Overwrite()))
    bad, good = ns.saved()
    assert (bad.name, good.name, good.problem) == ("bad", "good", "")
    assert "ns/saved/bad" in bad.problem
    assert good.records == 52
    with pytest.raises(CorruptObject):
        ns.snapshot(saved="bad")
    ns.delete_saved("bad")
    assert [one.name for one in ns.saved()] == ["good"]


def test_what_was_removed_by_hand_is_missing_not_empty(scene: Scene) -> None:
    filled(scene)
    ns = scene.open()
    ns.compact()
    ns.save("one")
    run(scene.store.inner.delete(scene.store.names("ns/shard/")))
    old = scene.open().snapshot(saved="one")
    with pytest.raises(MissingObject, match="'one'"):
        old.get("k/000")
    with pytest.raises(MissingObject, match="'one'"):
        list(old.scan())


def test_expired_stays_invisible(scene: Scene) -> None:
    ns = scene.open()
    ns.put("short", b"", expires=scene.env.wall + 60_000)
    ns.put("long", b"")
    ns.save("one")
    assert {entry.key for entry in scene.open().snapshot(saved="one").scan()} == {"long", "short"}
    scene.env.advance(120)
    assert {entry.key for entry in scene.open().snapshot(saved="one").scan()} == {"long"}


# --- cost ----------------------------------------------------------------------------------------------------------------


def verbs(calls: list[tuple[str, str]]) -> list[str]:
    return [f"{verb} {name.split('/')[1]}" for verb, name in calls]


def test_requests(scene: Scene) -> None:
    filled(scene)
    ns = scene.open()
    ns.compact()
    pinned = ["put pin", "get root", "put saved", "delete pin"]
    assert verbs(scene.calls_of(lambda: ns.save("one"))) == ["list log", "get root", *pinned]
    assert verbs(scene.calls_of(lambda: ns.saved())) == ["list saved", "get saved"]
    assert verbs(scene.calls_of(lambda: ns.delete_saved("one"))) == ["head saved", "delete saved"]
    ns.put("more", b"")
    calls = scene.calls_of(lambda: ns.save("two"))
    assert len(calls) <= 6 + 5  # list, root, the segment, the CAS, the root again


# --- crashes -------------------------------------------------------------------------------------------------------------


def count_calls() -> int:
    scene = Scene()
    filled(scene)
    ns = scene.open()
    return len(scene.calls_of(lambda: ns.save("one")))


CALLS = count_calls()


@pytest.mark.parametrize("number", range(CALLS))
def test_killed_anywhere_and_run_again(scene: Scene, number: int) -> None:
    filled(scene)
    before = scene.contents()
    ns = scene.open()
    scene.crash_at(number)
    with pytest.raises(Crash):
        ns.save("one")
    scene.calm()
    scene.open().save("one")  # also when it was there: the same bytes are the same snapshot
    overwritten(scene)
    old = scene.open().snapshot(saved="one")
    assert {entry.key: old.read(entry.key) for entry in old.scan()} == before
    assert not scene.store.names("ns/pin/")


# --- against the sweep ---------------------------------------------------------------------------------------------------


def sweep_at(scene: Scene, verb: str, folder: str) -> None:
    """When the next call of ``verb`` on ``folder`` comes, everything is replaced and swept first, days later."""

    def before(called: str, name: str) -> None:
        if called == verb and name.startswith(f"ns/{folder}"):
            scene.calm()
            overwritten(scene)

    scene.store.before = before


@pytest.mark.parametrize(("verb", "folder"), [("put", "pin"), ("get", "root"), ("put", "saved"), ("delete", "pin")])
def test_a_sweep_in_between_takes_nothing_that_is_saved(scene: Scene, verb: str, folder: str) -> None:
    filled(scene)
    ns = scene.open()
    ns.compact()
    sweep_at(scene, verb, folder)
    ns.save("one")
    scene.calm()
    scene.later()
    old = scene.open().snapshot(saved="one")
    assert all(old.read(entry.key) is not None for entry in old.scan())


def off_never_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the look at the floor after the pin."""
    monkeypatch.setattr(saved, "passed", lambda now, pinned: False)


@pytest.mark.parametrize(("verb", "folder"), [("put", "pin"), ("put", "saved")])
def test_without_the_look_at_the_floor_it_would(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, verb: str, folder: str
) -> None:
    off_never_passed(monkeypatch)
    filled(scene)
    ns = scene.open()
    ns.compact()
    sweep_at(scene, verb, folder)
    ns.save("one")
    scene.calm()
    with pytest.raises(MissingObject):
        scene.open().snapshot(saved="one").read("big")


def sweep_while(scene: Scene, act: Callable[[], None], verb: str, folder: str, number: int = 1) -> None:
    """``act`` happens right after the ``number``-th call of ``verb`` on ``folder`` that the sweep makes."""
    left = [number]
    done = [False]

    def before(called: str, name: str) -> None:
        # The call before which ``act`` runs is the one behind the call that was named.
        if left[0] == 0 and not done[0]:
            done[0] = True
            act()
        if called == verb and name.startswith(f"ns/{folder}"):
            left[0] -= 1

    scene.store.before = before


def listed(scene: Scene) -> list[pins.Held]:
    return run(list_held(scene.core(scene.open()).place))


def held_while(scene: Scene, act: Callable[[], None], number: int) -> bool:
    """Whether a sweep's look at what is held sees something when ``act`` comes behind its list ``number``."""
    calls = [0]

    def before(verb: str, name: str) -> None:
        calls[0] += 1
        if calls[0] == number + 1:
            scene.calm()
            act()

    scene.store.before = before
    found = listed(scene)
    scene.calm()
    return bool(found)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_pin_that_becomes_a_snapshot_is_seen_wherever_the_sweep_is(scene: Scene, number: int) -> None:
    filled(scene)
    ns = scene.open()
    ns.compact()
    core = scene.core(ns)
    hold = Hold(core.place, core.register.last.root.version)  # type: ignore[union-attr]
    run(hold.take())

    def becomes() -> None:
        scene.open().save("one")
        run(hold.release())

    assert held_while(scene, becomes, number)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_snapshot_that_goes_behind_a_pin_is_seen_wherever_the_sweep_is(scene: Scene, number: int) -> None:
    """A restore pins; then somebody deletes the snapshot."""
    filled(scene)
    ns = scene.open()
    ns.save("one")
    core = scene.core(ns)

    def goes() -> None:
        run(Hold(core.place, 1).take())
        ns.delete_saved("one")

    assert held_while(scene, goes, number)


def test_listing_pins_or_snapshots_once_would_miss_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each folder listed once, one order misses the one case, the other order the other."""
    whole = pins._list
    missed = []
    for first, becomes_saved in (("saved", True), ("pin", False)):
        world = Scene()
        filled(world)
        ns = world.open()
        ns.compact()
        core = world.core(ns)
        hold = Hold(core.place, core.register.last.root.version)  # type: ignore[union-attr]
        if becomes_saved:
            run(hold.take())
        else:
            ns.save("one")

        def act(world: Scene = world, hold: Hold = hold, to_saved: bool = becomes_saved) -> None:
            if to_saved:
                world.open().save("one")
                run(hold.release())
            else:
                run(hold.take())
                world.open().delete_saved("one")

        async def once(place: object, folder: str, seen: list[str] = [], first: str = first) -> object:  # noqa: B006
            """The first folder is listed at its first turn, the other at its last one; both once."""
            seen.append(folder)
            skip = folder == "ns/saved/" and (len(seen) == 3) == (first == "saved")
            return [] if skip else await whole(place, folder)  # type: ignore[arg-type]

        monkeypatch.setattr(pins, "_list", lambda place, folder, once=once, seen=[]: once(place, folder, seen))
        missed.append(not held_while(world, act, 1))
        monkeypatch.setattr(pins, "_list", whole)
    assert missed == [True, True]


def test_a_write_that_comes_days_later_is_looked_at_again(scene: Scene) -> None:
    """The machine sleeps between the pin and the snapshot; the pin has run out, the sweep has passed."""
    filled(scene)
    ns = scene.open()
    ns.compact()

    def before(verb: str, name: str) -> None:
        if verb == "put" and name.startswith("ns/saved/"):
            scene.calm()
            scene.env.advance(PIN_TTL_MS / 1000 + 60)
            overwritten(scene)

    scene.store.before = before
    calls = scene.calls_of(lambda: ns.save("one"))
    assert ("delete", "ns/saved/one") in calls
    old = scene.open().snapshot(saved="one")
    assert old.read("big") == b"small now"


def test_a_compactor_beside_it_changes_nothing(scene: Scene) -> None:
    filled(scene)
    ns = scene.open()
    other = scene.core(scene.open())

    def before(verb: str, name: str) -> None:
        if verb == "put" and name == "ns/root":
            scene.calm()
            run(Compactor(other.place, other.register).round(stay=False, insist=True, full=True))

    scene.store.before = before
    ns.save("one")
    assert scene.open().snapshot(saved="one").read("tail") == b"not folded yet"
    scene.env.advance(DAY_S)
