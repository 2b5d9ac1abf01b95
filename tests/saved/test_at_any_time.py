"""Restore while everything happens to the snapshot at every one of its steps, and over random histories."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from swampstore import Namespace
from swampstore.env.blocking import run
from swampstore.errors import MissingObject, NotFound, SnapshotExpired
from swampstore.workers import ground
from swampstore.workers.compactor import Compactor
from tests.saved.support import BIG, Scene
from tests.workers.world import Crash

KEYS = [f"k/{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "BATCH_RECORDS", 4)


def prepared() -> tuple[Scene, dict[str, bytes]]:
    scene = Scene()
    ns = scene.open()
    ns.put_many({key: BIG + key.encode() for key in KEYS[:4]} | {key: key.encode() for key in KEYS[4:]})
    ns.save("one")
    before = scene.contents()
    for key in KEYS:
        ns.put(key, b"new")
    scene.later()
    return scene, before


def sweep(scene: Scene) -> None:
    core = scene.core(scene.open())
    run(Compactor(core.place, core.register).round(stay=False, insist=True, full=True))
    run(Compactor(core.place, core.register).sweep_once(insist=True))


def calls() -> int:
    scene, _ = prepared()
    ns = scene.open()
    return len(scene.calls_of(lambda: ns.restore("one", dry_run=False)))


def at_call(scene: Scene, number: int, act: Callable[[], None]) -> None:
    left = [number]

    def before(verb: str, name: str) -> None:
        left[0] -= 1
        if left[0] == -1:
            scene.calm()
            act()

    scene.store.before = before


def test_the_snapshot_deleted_and_everything_swept_at_any_step() -> None:
    """Either it is restored whole, or it says that it cannot be; nothing that lives is ever without its contents."""
    ended = {"restored": 0, "refused": 0}
    for number in range(calls()):
        scene, before = prepared()
        ns, other = scene.open(), scene.open()

        def act(scene: Scene = scene, other: Namespace = other) -> None:
            other.delete_saved("one")
            sweep(scene)

        at_call(scene, number, act)
        try:
            ns.restore("one", dry_run=False)
            ended["restored"] += 1
            assert scene.contents() == before
        except (NotFound, MissingObject, SnapshotExpired):
            ended["refused"] += 1
        scene.calm()
        scene.later()
        assert set(scene.contents()) == set(KEYS)  # reads all of them
    assert min(ended.values()) > 2


@pytest.mark.parametrize("seed", range(25))
def test_random_histories(seed: int) -> None:
    dice = random.Random(seed)
    scene = Scene(seed)
    saved: dict[str, dict[str, bytes]] = {}
    scene.open().put(KEYS[0], b"first")
    for step in range(40):
        ns = scene.open()
        what = dice.random()
        if what < 0.5:
            size = dice.choice((3, 5000, 300_000))
            ns.put(dice.choice(KEYS), dice.randbytes(4) * (size // 4))
        elif what < 0.65:
            ns.delete(dice.choice(KEYS))
        elif what < 0.75:
            ns.compact()
        elif what < 0.8:
            scene.later(days=2)
        elif what < 0.87:
            ns.save(f"s{step}")
            saved[f"s{step}"] = scene.contents()
        elif what < 0.9 and saved:
            name = dice.choice(sorted(saved))
            ns.delete_saved(name)
            del saved[name]
        elif saved:
            name = dice.choice(sorted(saved))
            scene.crash_at(dice.randrange(40))
            try:
                ns.restore(name, dry_run=False)
            except Crash:
                scene.calm()
                scene.open().restore(name, dry_run=False)
            scene.calm()
            assert scene.contents() == saved[name]
    for name, contents in saved.items():
        then = scene.open().snapshot(saved=name)
        assert {entry.key: then.read(entry.key) for entry in then.scan()} == contents
