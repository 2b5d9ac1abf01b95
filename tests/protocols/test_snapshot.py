"""Snapshots against a plain dict: whatever lies in shards, level 0 and the log, one answer comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from swampstore.env.blocking import run
from swampstore.errors import MissingObject, SnapshotExpired
from swampstore.limits import KEY_BYTES
from swampstore.protocols import ranges
from swampstore.protocols.snapshot import Snapshot
from swampstore.testing.env import FakeEnv
from swampstore.values import run as run_format
from swampstore.values.entry import OPAQUE, Entry, Record, put_record, tombstone
from swampstore.values.join import conflict_of
from swampstore.values.root import NO_ROOT, RunRef
from swampstore.values.run import build_run
from swampstore.values.version import just_above, make_version
from tests.protocols.support import Process, Recording, world
from tests.values.strategies import put

KEYS = [
    "a",
    "a/a",
    "a/b",
    "a/b/c",
    "a/bb",
    "a0",
    "b",
    "b/a",
    "b/b",
    "b/é",
    "b/\U0010ffff",
    "c",
    "\U0010ffff",
    "\U0010ffff" * 3,
]


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_format, "BLOCK_RAW_BYTES", 150)
        patch.setattr(ranges, "_KEPT_RAW_BYTES", 600)
        yield


class Layers(NamedTuple):
    """Records of the manifest and the log, newest versions in no particular layer."""

    shards: list[list[Record]]
    level0: list[list[Record]]
    inline: list[Record]
    log: list[list[Record]]


def lay(layers: Layers) -> tuple[FakeEnv, Recording, Process]:
    """A store that holds ``layers``, and a reader of it."""
    env, store = world()
    maker = Process(store, env)

    def built(kind: str, records: list[Record]) -> RunRef:
        part, name = maker.place.new_object(kind)  # type: ignore[arg-type]
        ref, data = build_run(f"{kind}/{part}", records)
        store.set(name, data)
        return ref

    root = replace(
        NO_ROOT,
        shards=tuple(built("shard", part) for part in layers.shards if part),
        level0=tuple(built("l0", part) for part in layers.level0 if part),
        inline=tuple(layers.inline),
    )
    run(maker.register.publish(run(maker.register.read()), root))
    for batch in layers.log:
        if batch:
            run(maker.writer.append(batch))
    store.forget()
    return env, store, Process(store, env)


NOW = 1_800_000_000_000


@st.composite
def record(draw: st.DrawFn, key: str, hlc: int) -> Record:
    """A record of ``key`` at a version of its own."""
    kind = draw(st.sampled_from(["put", "put", "put", "gone", "expired", "later"]))
    if kind == "gone":
        return tombstone(key, make_version(hlc, b"w" * 12, 0))
    return put(
        key, hlc, data=b"x" * draw(st.integers(0, 60)), expires={"expired": NOW - 1, "later": NOW + 10**9}.get(kind, 0)
    )


@st.composite
def a_sorted_part(draw: st.DrawFn, hlcs: Iterator[int], keys: list[str] | None = None) -> list[Record]:
    chosen = draw(st.sets(st.sampled_from(keys or KEYS), max_size=6))
    return [draw(record(key, next(hlcs))) for key in sorted(chosen)]


@st.composite
def all_layers(draw: st.DrawFn) -> Layers:
    order = draw(st.permutations(range(1, 80)))
    hlcs = iter(order)
    cut = draw(st.integers(0, len(KEYS)))
    low, high = sorted(KEYS)[:cut], sorted(KEYS)[cut:]
    return Layers(
        shards=[draw(a_sorted_part(hlcs, part)) for part in (low, high) if part],
        level0=[draw(a_sorted_part(hlcs)) for _ in range(draw(st.integers(0, 3)))],
        inline=draw(a_sorted_part(hlcs)),
        log=[draw(a_sorted_part(hlcs)) for _ in range(draw(st.integers(0, 3)))],
    )


def model_of(layers: Layers) -> dict[str, Record]:
    """The newest live record of each key."""
    best: dict[str, Record] = {}
    for part in (*layers.shards, *layers.level0, layers.inline, *layers.log):
        for one in part:
            if one.key not in best or one.version > best[one.key].version:
                best[one.key] = one
    return {key: best[key] for key in sorted(best) if not best[key].gone and not 0 < best[key].expires <= NOW}


async def scanned(snapshot: Snapshot, prefix: str = "", start_after: str = "") -> list[Entry]:
    return [entry async for chunk in snapshot.scan(prefix, start_after=start_after) for entry in chunk]


@settings(max_examples=150, deadline=None)
@given(all_layers(), st.sampled_from(["", "a", "a/", "b/", "\U0010ffff", "zz"]), st.sampled_from(["", *KEYS]))
def test_points_lists_and_scans_equal_a_dict(layers: Layers, prefix: str, start_after: str) -> None:
    _, _, reader = lay(layers)
    snapshot = reader.open()
    model = model_of(layers)
    for key in (*KEYS, "nothing"):
        found = run(snapshot.get(key))
        assert (found.version if found else None) == (model[key].version if key in model else None)
    many = run(snapshot.get_many(KEYS))
    assert {key: entry.version for key, entry in many.items() if entry} == {k: r.version for k, r in model.items()}
    wanted = [(k, r.version) for k, r in model.items() if k.startswith(prefix) and k > start_after]
    assert [(entry.key, entry.version) for entry in run(scanned(snapshot, prefix, start_after))] == wanted
    page = run(snapshot.page(prefix, start_after=start_after))
    assert [(entry.key, entry.version) for entry in page] == wanted
    assert not page.more
    assert page.prefixes == []


def rolled(model: list[str], prefix: str, delimiter: str, start_after: str) -> list[tuple[str, bool]]:
    """What a listing shows, in order: ``(key or prefix, whether it is a prefix)``."""
    shown: list[tuple[str, bool]] = []
    for key in model:
        if not key.startswith(prefix) or key <= start_after:
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        item = (key[: cut + len(delimiter)], True) if cut >= 0 else (key, False)
        if item not in shown and not (item[1] and start_after.startswith(item[0])):
            shown.append(item)
    return shown


@settings(max_examples=150, deadline=None)
@given(
    all_layers(),
    st.sampled_from(["", "a", "a/", "b/"]),
    st.sampled_from(["", "/", "b"]),
    st.sampled_from(["", *KEYS, "a/", "a/b/"]),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_pages_equal_a_model(layers: Layers, prefix: str, delimiter: str, start_after: str, limit: int | None) -> None:
    _, _, reader = lay(layers)
    page = run(reader.open().page(prefix, start_after=start_after, limit=limit, delimiter=delimiter))
    shown = rolled(list(model_of(layers)), prefix, delimiter, start_after)
    cut = shown if limit is None else shown[:limit]
    assert [entry.key for entry in page] == [key for key, is_prefix in cut if not is_prefix]
    assert page.prefixes == [key for key, is_prefix in cut if is_prefix]
    if limit != 0:
        assert page.more or len(shown) <= len(cut)
        # A page that says there is more may be wrong only when the last thing shown is a prefix whose end is not known.
        assert not page.more or len(shown) > len(cut) or cut[-1][1]


@settings(max_examples=60, deadline=None)
@given(all_layers(), st.integers(1, 3), st.sampled_from(["", "/"]))
def test_walking_page_by_page_shows_everything_once(layers: Layers, limit: int, delimiter: str) -> None:
    _, _, reader = lay(layers)
    snapshot = reader.open()
    shown: list[tuple[str, bool]] = []
    after = ""
    for _ in range(50):
        page = run(snapshot.page(start_after=after, limit=limit, delimiter=delimiter))
        shown += sorted([(entry.key, False) for entry in page] + [(name, True) for name in page.prefixes])
        if not page.more:
            break
        after = shown[-1][0]
    assert shown == rolled(list(model_of(layers)), "", delimiter, "")


# --- particular cases ---------------------------------------------------------------------------------------------------


def test_the_longest_and_highest_keys_are_listed() -> None:
    env, store = world()
    process = Process(store, env)
    highest = "\U0010ffff" * (KEY_BYTES // 4)
    process.put("a", highest)
    assert process.keys() == ["a", highest]
    process.fold()
    assert process.keys() == ["a", highest]
    assert [e.key for e in run(process.open().page("\U0010ffff")).entries] == [highest]


def test_rolling_up_passes_over_the_highest_keys_once() -> None:
    env, store = world()
    process = Process(store, env)
    process.put("a/b", "a/" + "\U0010ffff" * 5, "b")
    page = run(process.open().page(delimiter="/"))
    assert (page.prefixes, [entry.key for entry in page]) == (["a/"], ["b"])


def test_an_entry_expires_while_a_snapshot_is_held() -> None:
    env, store = world()
    process = Process(store, env)
    run(process.writer.append([process.record("a", expires=env.wall_ms() + 5000)]))
    snapshot = process.open()
    assert run(snapshot.get("a")) is not None
    env.advance(6)
    assert run(snapshot.get("a")) is None
    assert process.keys() == []


def test_internal_keys_are_hidden_and_there_on_demand() -> None:
    env, store = world()
    process = Process(store, env)
    own = Record("\0lock\0x", process.writer.new_version(), OPAQUE, 0, b"7")
    run(process.writer.append([own, process.record("a")]))
    snapshot = process.open()
    assert process.keys() == ["a"]

    async def shown() -> list[Record]:
        return [one async for chunk in snapshot.records(internal=True) for one in chunk]

    assert [one.key for one in run(shown())] == ["\0lock\0x", "a"]
    assert run(snapshot.record("\0lock\0x")) == own


async def conflicts(snapshot: Snapshot) -> list[Record]:
    return [one async for chunk in snapshot.conflicts() for one in chunk]


def conflict_layers() -> tuple[Record, Record, Record]:
    one, two = put("k", 1, data=b"1"), put("k", 2, data=b"2")
    return one, two, put("k", 3, data=b"3", base=one.version)


@pytest.mark.parametrize("where", ["log", "inline", "level0", "shards"])
def test_a_put_nobody_had_seen_is_kept_beside_wherever_it_lies(where: str) -> None:
    _, two, mine = conflict_layers()
    parts: dict[str, list[list[Record]]] = {"log": [], "level0": [], "shards": []}
    others = [put(key, 9) for key in ("j", "l")]
    inline = [two] if where == "inline" else []
    if where != "inline":
        parts[where].append([others[0], two, others[1]])
    parts["log"].append([mine])
    _, _, reader = lay(Layers(parts["shards"], parts["level0"], inline, parts["log"]))
    snapshot = reader.open()
    (kept,) = run(conflicts(snapshot))
    assert (conflict_of(kept.key), kept.version, kept.value) == ("k", two.version, two.value)
    entry = run(snapshot.get("k"))
    assert entry is not None
    assert entry.version == mine.version


@pytest.mark.parametrize("where", ["log", "inline", "level0", "shards"])
def test_a_conflict_that_was_settled_is_not_shown_again(where: str) -> None:
    """The loser still lies in a run, its conflict entry was written out and removed: the removal must be found."""
    _, two, mine = conflict_layers()
    key = f"k\0conflict\0{two.version.hex()}"
    settled = tombstone(key, just_above(two.version), base=two.version)
    parts: dict[str, list[list[Record]]] = {"log": [], "level0": [], "shards": []}
    inline = [two] if where == "inline" else []
    if where != "inline":
        parts[where].append([two])
    parts["log"] += [[mine], [settled]]
    _, _, reader = lay(Layers(parts["shards"], parts["level0"], inline, parts["log"]))
    assert run(conflicts(reader.open())) == []


def test_records_come_in_key_order_whatever_was_kept() -> None:
    _, two, mine = conflict_layers()
    older = put_record("k\0conflict\0" + "0" * 48, make_version(1, b"v" * 12, 0), _meta())
    rows = [put("j", 9), two, put("l", 9)]
    _, _, reader = lay(Layers([rows], [[put("k", 1, data=b"1"), older]], [], [[mine]]))

    async def keys() -> list[str]:
        return [one.key async for chunk in reader.open().records(internal=True) for one in chunk]

    found = run(keys())
    assert found == sorted(set(found))
    assert len(found) == 5


def _meta() -> object:
    from swampstore.values.entry import meta_of

    return meta_of(put("x", 1, data=b"old"))


@pytest.mark.parametrize("kind", ["shard", "l0"])
@pytest.mark.parametrize("swept", [True, False])
def test_a_run_that_was_swept_makes_a_snapshot_expire_and_one_that_was_lost_is_damage(kind: str, swept: bool) -> None:
    rows = [put("a", 1), put("b", 2)]
    env, store, reader = lay(Layers([rows] if kind == "shard" else [], [rows] if kind == "l0" else [], [], []))
    snapshot = reader.open()
    (name,) = store.names(f"ns/{kind}/")
    if swept:
        other = Process(store, env)
        seen = run(other.register.read())
        run(other.register.publish(seen, replace(seen.root, shards=(), level0=())))
    store.drop(name)
    expected = SnapshotExpired if swept else MissingObject
    for read in (snapshot.get("a"), snapshot.page()):
        with pytest.raises(expected) as caught:
            run(read)
        assert "doctor" in caught.value.hint or swept


def test_a_snapshot_is_a_thing_of_its_moment() -> None:
    env, store = world()
    writer, reader = Process(store, env), Process(store, env)
    writer.put("a")
    snapshot = reader.open()
    writer.put("b")
    writer.delete("a")
    writer.fold()
    assert [entry.key for entry in run(snapshot.page()).entries] == ["a"]
    assert reader.keys() == ["b"]


def test_a_snapshot_of_another_root_with_the_same_number_is_not_reused() -> None:
    """A namespace that was deleted and made anew counts its versions from one again."""
    env, store = world()
    process, reader = Process(store, env), Process(store, env)
    process.put("old")
    process.fold()
    store.drop(*store.names("ns/log/"))
    assert reader.keys() == ["old"]
    store.drop(*store.names())
    anew = Process(store, env)
    anew.put("new")
    anew.fold()
    store.drop(*store.names("ns/log/"))
    assert anew.register.last is not None
    assert anew.register.last.root.version == 1
    assert reader.keys() == ["new"]


def test_wide_scans_read_blocks_in_growing_strides() -> None:
    rows = [put(f"k/{n:04d}", n + 1, data=b"x" * 50) for n in range(300)]
    _, store, reader = lay(Layers([rows[:150], rows[150:]], [], [], []))
    snapshot = reader.open()
    store.forget()
    assert len(run(scanned(snapshot))) == 300
    blocks = 300 // 2
    assert 1 < store.rounds < blocks // 4


def test_a_long_scan_leaves_the_cache_to_others_and_reads_nothing_twice() -> None:
    rows = [put(f"k/{n:04d}", n + 1, data=b"x" * 50) for n in range(300)]
    wide = [put(f"k/{n:04d}", 1000 + n) for n in (0, 299)]  # one block, which every chunk of the scan meets
    _, store, reader = lay(Layers([rows[:150], rows[150:]], [wide], [], []))
    snapshot = reader.open()
    caches = snapshot.place.caches.blocks
    store.forget()
    assert len(run(scanned(snapshot))) == 300
    assert len(set(store.calls)) == len(store.calls)
    after_long = caches.bytes
    assert len(run(scanned(snapshot, "k/0150"))) == 1
    assert after_long < caches.bytes, "a short one stays for the next reader"
    assert caches.bytes < 1000
