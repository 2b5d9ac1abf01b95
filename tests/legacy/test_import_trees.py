"""Import of whole made trees with everything nasty in them, over memory and local stores, in place, copied, index only."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from swampstore.errors import Conflict, MissingObject, Misuse
from swampstore.testing.legacy_nasty import CASES
from swampstore.testing.legacy_tree import Shape, make_tree
from swampstore.values.entry import External
from tests.legacy.import_world import Setting, adds_up

ALL = frozenset(CASES)
QUIET = ALL - {"live-locks", "missing-partition"}

WAYS = [("same", {}), ("below", {}), ("same", {"copy": True}), ("apart", {"copy": True}), ("above", {"copy": True})]
IDS = ["in place", "in a sub-directory", "copied in place", "copied from another store", "copied from above"]


@pytest.fixture(autouse=True)
def _no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def setting(
    tmp_path: Path, kind: str, where: str, index: str = "v1", namespace: str = "ops", nasty: frozenset[str] = QUIET
) -> Setting:
    shape = Shape(models=2, versions=3, payload_max=9000, namespace=namespace, index=index, nasty=nasty)
    made = make_tree(tmp_path / "made", shape)
    if "live-locks" not in nasty:  # one that cannot be read counts as live
        (made.base / "data/command/shell/.lock").unlink()
    return Setting(made, kind, where, tmp_path)


@pytest.mark.parametrize(("where", "options"), WAYS, ids=IDS)
@pytest.mark.parametrize("namespace", ["", "ops"])
@pytest.mark.parametrize("index", ["v1", "v2", "none"])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_everything_nasty(
    tmp_path: Path, kind: str, index: str, namespace: str, where: str, options: dict[str, bool]
) -> None:
    world = setting(tmp_path, kind, where, index, namespace)
    expected, before = world.expected(), world.source_state()
    report = world.run(**options)
    assert report.flavour == index
    assert adds_up(report)
    assert report.imported == len(expected)
    assert report.bytes == sum(map(len, expected.values()))
    assert (report.checked, report.checked_bytes, report.astray) == (report.imported, report.bytes, 0)
    assert report.damaged == 0
    assert report.dangling == (0 if index == "none" else len(world.made.dangling))
    if index != "none":
        assert sum(report.dropped.values()) == len(world.made.not_data)
    assert world.read_all() == expected
    entries = world.entries()
    assert {key: entry.sha256 for key, entry in entries.items()} == {
        key: hashlib.sha256(body).hexdigest() for key, body in expected.items()
    }
    assert all(isinstance(entry.meta.at, External) != bool(options) for entry in entries.values())
    assert world.source_state() == before

    again = world.run(**options)
    assert adds_up(again)
    assert (again.imported, again.unchanged, again.vanished, again.newer_here) == (0, len(expected), 0, 0)
    assert again.bytes == report.bytes
    assert again.entries == report.entries
    assert {key: entry.version for key, entry in world.entries().items()} == {
        key: entry.version for key, entry in entries.items()
    }
    assert world.source_state() == before


@pytest.mark.parametrize("index", ["v1", "v2"])
@pytest.mark.parametrize("where", ["same", "below", "apart"])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_index_only(tmp_path: Path, kind: str, where: str, index: str) -> None:
    world = setting(tmp_path, kind, where, index)
    report = world.run(index_only=True)
    rels = world.made.entries.keys() - world.made.not_data
    assert adds_up(report)
    assert (report.imported, report.dangling, report.unverified) == (len(rels), 0, True)
    entries = world.entries()
    assert entries.keys() == rels
    assert all(entry.meta.unverified for entry in entries.values())
    assert {entry.meta.at.store for entry in entries.values()} == {world.source.url if where == "apart" else ""}  # type: ignore[union-attr]
    assert world.run(index_only=True).imported == 0

    if where != "apart":  # a full import makes good what index-only left open, and index-only then leaves it
        expected = world.expected()
        full = world.run()
        assert (full.imported, full.unchanged) == (len(expected), 0)
        assert not any(world.entries()[key].meta.unverified for key in expected)
        assert world.run(index_only=True).imported == len(world.made.at_root)  # it says they lie elsewhere


@pytest.mark.parametrize(("where", "options"), [*WAYS, ("apart", {"index_only": True})], ids=[*IDS, "index only"])
@pytest.mark.parametrize("index", ["v1", "v2", "none"])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_dry_run_writes_nothing(tmp_path: Path, kind: str, index: str, where: str, options: dict[str, bool]) -> None:
    world = setting(tmp_path, kind, where, index)
    before = world.state()
    dry = world.run(dry_run=True, **options)
    assert world.state() == before
    assert adds_up(dry)
    wet = world.run(**options)
    same = ("imported", "unchanged", "bytes", "dropped", "dangling", "damaged", "entries", "unindexed", "vanished")
    assert {name: getattr(dry, name) for name in same} == {name: getattr(wet, name) for name in same}
    assert (dry.checked, wet.checked) == (0, wet.imported)


@pytest.mark.parametrize("namespace", ["", "ops"])
@pytest.mark.parametrize("index", ["v1", "none"])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_live_locks_refuse_unless_forced(tmp_path: Path, kind: str, index: str, namespace: str) -> None:
    world = setting(tmp_path, kind, "same", index, namespace, QUIET | {"live-locks"})
    before = world.state()
    with pytest.raises(Conflict, match="the source is in use") as caught:
        world.run()
    assert "--force" in caught.value.hint
    assert world.state() == before
    expected = world.expected()
    assert world.run(force=True).imported == len(expected)
    assert world.read_all() == expected


@pytest.mark.parametrize("index", ["v1", "none"])
def test_a_lock_deep_inside_refuses_too(tmp_path: Path, index: str) -> None:
    world = setting(tmp_path, "local", "same", index, nasty=frozenset({"live-locks"}))
    for name in ("ops/.datastore.lock", ".locks/ops.lock", ".datastore.lock"):
        (world.root / name).unlink()
    before = world.state()
    with pytest.raises(Conflict, match=r"data/command/shell/m/\.lock"):
        world.run()
    assert world.state() == before


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_missing_partition(tmp_path: Path, kind: str) -> None:
    world = setting(tmp_path, kind, "same", "v2", nasty=QUIET | {"missing-partition"})
    before = world.state()
    with pytest.raises(MissingObject, match="1 partitions that are not there"):
        world.run()
    assert world.state() == before
    report = world.run(partial=True)
    assert [name.rpartition("/")[2] for name in report.missing_partitions] == [f"{n}.json" for n in world.made.missing]
    assert world.read_all() == world.expected()


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    world = setting(tmp_path, "memory", "apart")
    with pytest.raises(Misuse, match="another store"):
        world.run()
    with pytest.raises(Misuse, match="--index-only does not"):
        world.run(copy=True, index_only=True)
