"""Restore: the difference with new versions, previewed, checked before anything is changed, harmless when killed."""

from __future__ import annotations

import pytest

from swampstore import Namespace
from swampstore.env.blocking import run
from swampstore.errors import BadKey, CorruptObject, MissingObject, NotFound, SnapshotExpired
from swampstore.protocols.pins import Hold
from swampstore.stores.base import Overwrite
from swampstore.values.data import Datum, raw_path
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.workers import restore as worker
from swampstore.workers.ground import append_records
from tests.saved.support import BIG, Scene
from tests.workers.world import Crash

KEYS = 30


@pytest.fixture
def scene() -> Scene:
    return Scene()


def saved(scene: Scene) -> dict[str, bytes]:
    """A namespace saved as ``one``; what it held then. After that everything changes and the sweep has its time."""
    ns = scene.open()
    ns.put_many({f"k/{number:03}": b"%d" % number for number in range(KEYS)})
    ns.put_many({f"p/{number}": b"p%d" % number * 3000 for number in range(4)})  # one pack
    ns.put("big", BIG, content_type="text/x", tags={"a": "b"})
    ns.put("same", b"the same")
    ns.compact()
    before = scene.contents()
    ns.save("one")
    ns.put("big", b"small now")
    ns.delete("p/0")
    ns.put_many({f"p/{number}": b"q" for number in range(1, 4)})
    ns.put_many({f"k/{number:03}": b"new" for number in range(0, KEYS, 2)})
    ns.put_many({f"new/{number}": BIG for number in range(3)})
    ns.stream("events").append([b"1", b"2"])
    scene.later()
    return before


def changed(ns: Namespace, **more: object) -> tuple[int, int, int]:
    report = ns.restore("one", **more)  # type: ignore[arg-type]
    return report.created, report.changed, report.deleted


def test_everything_comes_back(scene: Scene) -> None:
    before = saved(scene)
    ns = scene.open()
    during = scene.contents()
    assert changed(ns) == (1, 1 + 3 + KEYS // 2, 3)  # by default only a preview
    assert scene.contents() == during
    report = ns.restore("one", dry_run=False)
    assert (report.created, report.changed, report.deleted, report.unchanged) == (1, 19, 3, 16)
    assert ("delete", "new/0") in report.examples
    assert scene.contents() == before
    entry = scene.open().get("big")
    assert entry is not None
    assert (entry.content_type, entry.tags) == ("text/x", {"a": "b"})
    assert changed(scene.open()) == (0, 0, 0)
    scene.later()
    scene.open().delete_saved("one")
    scene.later()
    assert scene.contents() == before
    assert [record.data for record in scene.open().stream("events").read()] == [b"1", b"2"]


def test_what_it_replaces_is_no_conflict(scene: Scene) -> None:
    """The restore has seen it: only what others write meanwhile is kept beside."""
    saved(scene)
    ns = scene.open()
    ns.restore("one", dry_run=False)
    scene.open().compact()

    async def kept() -> list[str]:
        found = (await scene.open()._core.reader.open()).conflicts()
        return [record.key async for records in found for record in records]

    assert run(kept()) == []


def test_a_part_of_it(scene: Scene) -> None:
    before = saved(scene)
    ns = scene.open()
    during = scene.contents()
    ns.restore("one", dry_run=False, prefix="p/")
    assert scene.contents() == during | {key: body for key, body in before.items() if key.startswith("p/")}
    with pytest.raises(BadKey):
        ns.restore("one", prefix="/p")


def test_restoring_is_undone_by_restoring_another(scene: Scene) -> None:
    saved(scene)
    during = scene.contents()
    ns = scene.open()
    ns.save("two")
    ns.restore("one", dry_run=False)
    scene.later()
    ns = scene.open()
    ns.restore("two", dry_run=False)
    assert scene.contents() == during


def test_what_has_expired_since_stays_away(scene: Scene) -> None:
    ns = scene.open()
    ns.put("short", b"s", expires=scene.env.wall + 60_000)
    ns.put("long", b"l")
    ns.save("one")
    ns.delete("short")
    ns.delete("long")
    scene.env.advance(120)
    report = scene.open().restore("one", dry_run=False)
    assert (report.created, report.expired) == (1, 1)
    assert scene.contents() == {"long": b"l"}


def test_unknown(scene: Scene) -> None:
    scene.open().put("k", b"")
    with pytest.raises(NotFound):
        scene.open().restore("one")
    with pytest.raises(NotFound):
        scene.open().restore("one", dry_run=False)
    assert not scene.store.names("ns/pin/")


# --- damage --------------------------------------------------------------------------------------------------------------


def damage(scene: Scene, folder: str, body: bytes | None) -> None:
    """Remove the first object of ``folder`` by hand, or put ``body`` in its place."""
    name = scene.store.names(f"ns/{folder}/")[0]
    if body is None:
        run(scene.store.inner.delete([name]))
    else:
        run(scene.store.inner.put(name, body, Overwrite()))


@pytest.mark.parametrize("folder", ["blob", "pack", "shard"])
@pytest.mark.parametrize("full", [False, True])
def test_gone_objects_are_an_error_and_nothing_is_changed(scene: Scene, folder: str, full: bool) -> None:
    saved(scene)
    during = scene.store.names("ns/log/"), scene.contents()
    damage(scene, folder, None)
    for dry_run in (True, False):
        with pytest.raises(MissingObject) as raised:
            scene.open().restore("one", dry_run=dry_run, full=full)
        assert raised.value.hint
    assert scene.store.names("ns/log/") == during[0]
    if folder != "shard":
        assert scene.contents() == during[1]


@pytest.mark.parametrize("folder", ["blob", "pack", "shard", "saved"])
def test_cut_objects_are_an_error_and_nothing_is_changed(scene: Scene, folder: str) -> None:
    saved(scene)
    before = scene.store.names("ns/log/")
    damage(scene, folder, b"short")
    with pytest.raises((MissingObject, CorruptObject)):
        scene.open().restore("one", dry_run=False)
    assert scene.store.names("ns/log/") == before


def test_full_finds_bytes_that_were_changed(scene: Scene) -> None:
    saved(scene)
    damage(scene, "blob", b"y" * len(BIG))
    with pytest.raises(CorruptObject):
        scene.open().restore("one", dry_run=False, full=True)
    assert scene.contents()["big"] == b"small now"


# --- others at the same time ---------------------------------------------------------------------------------------------


def at_first(scene: Scene, verb: str, folder: str, act: object) -> None:
    def before(called: str, name: str) -> None:
        if called == verb and name.startswith(f"ns/{folder}"):
            scene.calm()
            act()  # type: ignore[operator]

    scene.store.before = before


@pytest.mark.parametrize(("verb", "folder"), [("put", "log/"), ("head", "")])
def test_a_put_during_the_restore_is_kept(scene: Scene, verb: str, folder: str) -> None:
    """Keys that the restore deletes, changes and brings back are written after it has looked, before or after it draws
    its versions: the newer wins, and the loser is kept beside it."""
    saved(scene)
    ns, other = scene.open(), scene.open()
    keys = ("new/0", "k/000", "p/0")

    def meanwhile() -> None:
        scene.env.advance(1)
        other.put_many(dict.fromkeys(keys, b"mine"))
        scene.env.advance(1)

    at_first(scene, verb, folder, meanwhile)
    ns.restore("one", dry_run=False)
    scene.calm()
    now, kept = scene.contents(), kept_losers(scene)
    assert now["new/0"] == b"mine"
    for key in ("k/000", "p/0"):
        assert (now[key] == b"mine") == (verb == "put")
        assert (key in kept) == (verb == "head")


def kept_losers(scene: Scene) -> set[str]:
    """The paths that have a conflict entry."""

    async def found() -> set[str]:
        snapshot = await scene.core(scene.open()).snapshot()
        return {one.key.partition("\0")[0] async for records in snapshot.conflicts() for one in records}

    return run(found())


def test_the_snapshot_may_be_deleted_while_it_is_restored(scene: Scene) -> None:
    """... and everything be swept that may be: the restore's own pin holds it."""
    before = saved(scene)
    ns, other = scene.open(), scene.open()

    def meanwhile() -> None:
        other.delete_saved("one")
        scene.env.advance(60)
        core = scene.core(scene.open())
        from swampstore.workers.compactor import Compactor

        run(Compactor(core.place, core.register).sweep_once(insist=True))

    at_first(scene, "put", "log/", meanwhile)
    ns.restore("one", dry_run=False)
    scene.calm()
    assert scene.contents() == before
    scene.later()
    assert scene.contents() == before


def test_without_its_pin_that_would_lose_contents(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Hold) -> None:
        self._since, self._written_ms = worker_span(self), 1 << 60

    monkeypatch.setattr(Hold, "take", nothing)
    with pytest.raises(MissingObject):
        test_the_snapshot_may_be_deleted_while_it_is_restored(scene)


def worker_span(hold: Hold) -> object:
    from swampstore.env.clock import Span

    return Span(hold._place.env)


def test_a_snapshot_that_is_deleted_while_the_restore_sleeps_ends_it(scene: Scene) -> None:
    saved(scene)
    ns, other = scene.open(), scene.open()

    def meanwhile() -> None:
        other.delete_saved("one")
        scene.env.advance(3600)

    at_first(scene, "head", "", meanwhile)
    with pytest.raises(SnapshotExpired):
        ns.restore("one", dry_run=False)
    assert not scene.store.names("ns/pin/")


# --- data versions -------------------------------------------------------------------------------------------------------


def datum(scene: Scene, ordinal: int, body: bytes) -> None:
    """Version ``ordinal`` of an item, as an import makes it."""
    core = scene.core(scene.open())
    data = Datum(model_type="aws/ec2", model_id="web", name="state", ordinal=ordinal)
    import hashlib

    meta = Meta(size=len(body), at=Inline(body), sha256=hashlib.sha256(body).digest(), data=data)
    run(append_records(core, [put_record(raw_path(data.item, ordinal), core.writer.new_version(), meta)]))


def test_data_versions_come_back_under_their_ordinals(scene: Scene) -> None:
    for ordinal in (1, 2, 3):
        datum(scene, ordinal, b"v%d" % ordinal)
    scene.open().save("one")
    scene.open().delete("data/aws/ec2/web/state/2/raw")
    datum(scene, 4, b"v4")
    scene.later()
    assert changed(scene.open()) == (1, 0, 1)
    scene.open().restore("one", dry_run=False)
    found = {entry.key: entry.meta.data for entry in scene.open().scan("data/")}
    assert [data.ordinal for data in found.values() if data] == [1, 2, 3]
    assert scene.contents()["data/aws/ec2/web/state/2/raw"] == b"v2"
    assert changed(scene.open()) == (0, 0, 0)


# --- crashes and cost ----------------------------------------------------------------------------------------------------


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from swampstore.workers import ground

    monkeypatch.setattr(ground, "BATCH_RECORDS", 5)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> int:
    small_batches(monkeypatch)
    scene = Scene()
    saved(scene)
    ns = scene.open()
    return len(scene.calls_of(lambda: ns.restore("one", dry_run=False)))


def test_killed_anywhere_and_run_again(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small_batches(monkeypatch)
    for number in range(calls):
        scene = Scene()
        before = saved(scene)
        ns = scene.open()
        scene.crash_at(number)
        with pytest.raises(Crash):
            ns.restore("one", dry_run=False)
        scene.calm()
        assert scene.contents().keys() >= {"same"}
        scene.open().restore("one", dry_run=False)
        assert scene.contents() == before, number
        scene.later()
        scene.open().delete_saved("one")
        scene.later()
        assert scene.contents() == before, number


def test_the_cost_follows_the_difference(scene: Scene) -> None:
    saved(scene)
    ns = scene.open()
    ns.restore("one", dry_run=False)
    ns.compact()
    calls = scene.calls_of(lambda: ns.restore("one", dry_run=False))
    assert not [name for verb, name in calls if verb == "put" and "/pin/" not in name]
    assert not [name for verb, name in calls if verb == "head"]
    assert worker.FROM_NOTHING == bytes(24)


def test_versions_made_here_come_back_and_numbers_go_on(scene: Scene) -> None:
    state = scene.open().data("aws/ec2:web", "state")
    acks = [state.put(b"v%d" % number, ordinal=True, tags={"n": str(number)}) for number in (1, 2, 3)]
    scene.open().save("one")
    state = scene.open().data("aws/ec2:web", "state")
    state.delete(2)
    state.put(b"v4", ordinal=True)
    state.put(b"v5")  # has no number yet
    preview = scene.open().restore("one")
    assert (preview.created, preview.deleted, preview.pending) == (2, 2, 1)
    done = scene.open().restore("one", dry_run=False)
    assert (done.created, done.deleted, done.pending) == (2, 4, 0)
    scene.later()
    state = scene.open().data("aws/ec2:web", "state")
    assert [version.ordinal for version in state.versions()] == [3, 2, 1]
    assert [state.read(version=number) for number in (1, 2, 3)] == [b"v1", b"v2", b"v3"]
    assert state.read() == b"v3"
    second, first = state.get(2), state.get(acks[0].id)
    assert second is not None
    assert first is not None
    assert (second.tags["n"], first.ordinal) == ("2", 1)
    assert second.id != acks[1].id
    assert state.get(second.id) is not None
    assert state.put(b"v6", ordinal=True).ordinal == 6
    assert changed(scene.open()) == (0, 0, 2)
