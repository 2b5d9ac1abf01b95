"""Import of versions of data: by the rule over the whole index, with all fields where metadata is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.client.data import CoreItem
from swampstore.env.blocking import run
from swampstore.errors import Misuse
from swampstore.limits import PART_BYTES, SEGMENT_DELTAS
from swampstore.stores.base import Overwrite
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.data import Datum
from swampstore.values.entry import Entry
from swampstore.workers.legacy import importer, versions
from swampstore.workers.legacy.importer import ImportOptions, import_legacy
from swampstore.workers.legacy.limits import ENDED_GRACE_MS
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.legacy.rules import Place
from tests.legacy.helpers import an_entry, drain
from tests.legacy.import_world import Hooked, adds_up, entry_of, held, legacy, memory, space, take
from tests.sync.data_versions import metadata

ITEM = "data/aws/ec2/m1/207333"
CREATED_MS = 1_590_969_600_000
YEAR_MS = 365 * 86_400_000
WAYS: list[dict[str, Any]] = [{}, {"copy": True}, {"index_only": True}]


def tree(numbers: range = range(1, 4), times: int = 10, **fields: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {f"{ITEM}/latest": b"1"}
    for number in numbers:
        raw = b"%d" % number * times
        found[f"{ITEM}/{number}/raw"] = raw
        found[f"{ITEM}/{number}/metadata.yaml"] = metadata(number, raw, ITEM, **fields)
    return found


def get(store: Any, key: str) -> Entry:
    entry = run(space(store).get(key))
    assert entry is not None
    return entry


def item(ns: CoreNamespace) -> CoreItem:
    return CoreItem(ns, "aws/ec2:m1", "207333")


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("flavour", ["index", "listing"])
def test_versions_have_their_fields(options: dict[str, bool], flavour: str) -> None:
    plain = {"data/t/m/n/7/raw": b"no metadata", "outputs/t/m/n/1/raw": b"x", "outputs/t/m/n/1/metadata.yaml": b"y"}
    files = tree(times=4000, lifetime="90y", ownTool="7") | plain
    if flavour == "listing" and options.get("index_only"):
        return
    store = memory(legacy(files) if flavour == "index" else files)
    report = take(store, **options)
    assert adds_up(report)
    assert (report.versions, report.not_versions, report.ended) == (3, 0, 0)
    full = not options.get("index_only")
    for number in (1, 2, 3):
        entry = get(store, f"{ITEM}/{number}/raw")
        assert entry.meta.data == (
            Datum("aws/ec2", "m1", "207333", number, keep="5", data_id=_ID, extra={"ownTool": "7"})
            if full
            else Datum("aws/ec2", "m1", "207333", number)
        )
        assert entry.expires == get(store, f"{ITEM}/{number}/metadata.yaml").expires
        if full:
            assert (entry.expires, entry.tags["run"]) == (CREATED_MS + 90 * YEAR_MS, "r1")
            assert (entry.meta.lifetime, entry.meta.created) == ("90y", CREATED_MS)
    assert all(get(store, key).meta.data is None for key in plain)
    assert [version.ordinal for version in run(item(space(store)).versions())] == [3, 2, 1]
    again = take(store, **options)
    assert (again.imported, again.unchanged, again.versions) == (0, report.imported, 0)


_ID = "0b9f3f3e-7d6c-4f0e-9a51-000000000001"


def test_numbers_go_on_after_an_import() -> None:
    store = memory(legacy(tree()))
    take(store)
    run(item(space(store)).put(b"next", ordinal=True))
    assert [version.ordinal for version in run(item(space(store)).versions())] == [4, 3, 2, 1]


@pytest.mark.parametrize(("in_s3", "asked", "reads"), [(False, False, 3), (True, False, 0), (True, True, 3)])
def test_metadata_is_read_where_it_is_cheap_or_asked_for(in_s3: bool, asked: bool, reads: int) -> None:
    files = legacy(tree())
    hooked = Hooked(memory(files, url="s3://bucket/old" if in_s3 else "memory://source"))
    seen: list[str] = []
    hooked.before = lambda verb, name: seen.append(name) if verb == "get" and name.endswith(".yaml") else None
    report = take(hooked, sample=0, metadata=asked)
    assert (len(seen), report.versions) == (reads, 3)
    assert get(hooked, f"{ITEM}/1/raw").tags == ({"type": "report", "run": "r1"} if reads else {})
    if in_s3 and not asked:
        assert take(hooked, sample=0).imported == 0
        again = take(hooked, sample=0, metadata=True)  # what only the path has said is completed
        assert (again.imported, again.versions) == (6, 3)
        assert get(hooked, f"{ITEM}/1/raw").tags["run"] == "r1"


def test_index_only_does_not_read() -> None:
    with pytest.raises(Misuse, match="--metadata reads"):
        take(memory(legacy(tree())), index_only=True, metadata=True)


# --- bad ones --------------------------------------------------------------------------------------------------------

BAD = {
    "another name": {"name": "other"},
    "another version": {"version": "9"},
    "a lying size": {"size": "3"},
    "a lying hash": {"checksum": "ab" * 32},
    "broken yaml": {"streaming": "]["},
    "a huge file": {"filler": "x" * 300_000},
    "huge tags": {"run": "x" * 20_000},
}


@pytest.mark.parametrize("options", WAYS[:2])
@pytest.mark.parametrize("name", BAD)
def test_one_that_contradicts_itself_is_plain_and_the_others_go_on(name: str, options: dict[str, bool]) -> None:
    files = tree(lifetime="90y") | {f"{ITEM}/2/metadata.yaml": metadata(2, b"2" * 10, ITEM, lifetime="90y")}
    files |= tree(range(2, 3), **{"lifetime": "90y"} | BAD[name])
    store = memory(legacy(files))
    report = take(store, **options)
    assert adds_up(report)
    assert (report.imported, report.versions, report.not_versions) == (7, 2, 1)
    assert report.not_versions_examples[0].startswith(f"{ITEM}/2: ")
    assert (get(store, f"{ITEM}/2/raw").meta.data, get(store, f"{ITEM}/2/raw").expires) == (None, 0)
    assert held(store) == files
    assert take(store, **options).imported == 0


def test_metadata_that_is_gone_leaves_what_the_path_says() -> None:
    files = legacy(tree(range(1, 3)))
    del files[f"{ITEM}/2/metadata.yaml"]
    store = memory(files)
    report = take(store)
    assert (report.dangling, report.versions) == (1, 1)
    assert get(store, f"{ITEM}/2/raw").meta.data is None


def test_a_large_version_is_copied_with_its_fields(tmp_path: Path) -> None:
    target = LocalStore(tmp_path / "target", create=True)
    files = tree(range(1, 2), times=PART_BYTES + 1) | tree(range(2, 3))
    assert take(memory(legacy(files)), target, copy=True).versions == 2
    assert get(target, f"{ITEM}/1/raw").tags["run"] == "r1"


@pytest.mark.parametrize("options", WAYS)
def test_batches_may_end_between_the_two_files(options: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "_BATCH", 2)
    monkeypatch.setattr("swampstore.workers.legacy.reading._GROUP", 2)
    held_at_once: list[int] = []
    of = versions.Versions.of
    monkeypatch.setattr(
        versions.Versions, "of", lambda self, one: (held_at_once.append(len(self._facts)), of(self, one))[1]
    )
    store = memory(legacy({"data/a": b"makes it odd"} | tree(range(1, 20))))
    assert take(store, **options).versions == 19
    assert max(held_at_once) <= 2
    if not options.get("index_only"):
        assert all(get(store, f"{ITEM}/{number}/raw").tags for number in range(1, 20))
    assert SEGMENT_DELTAS > 2


# --- again -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", WAYS[:2])
def test_a_change_of_one_file_is_said_by_the_other(options: dict[str, bool]) -> None:
    files = tree()
    store = memory(legacy(files))
    take(store, **options)
    later = "2026-07-01T00:00:00.000Z"
    body = metadata(2, b"2" * 10, ITEM, run="r2")
    for name, data in legacy(
        files | {f"{ITEM}/2/metadata.yaml": body}, **{f"{ITEM}/2/metadata.yaml": entry_of(body, later)}
    ).items():
        run(store.put(name, data, Overwrite()))
    report = take(store, **options)
    assert adds_up(report)
    assert (report.imported, report.versions) == (2, 1)
    assert get(store, f"{ITEM}/2/raw").tags["run"] == "r2"


# --- lifetimes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", WAYS[:2])
def test_what_ended_before_can_be_read_for_a_while(options: dict[str, bool]) -> None:
    env = FakeEnv()
    files = tree(lifetime="1h")
    source = MemoryStore(env, url="memory://source")
    for name, body in legacy(files).items():
        run(source.put(name, body, Overwrite()))

    def ns() -> CoreNamespace:
        return CoreStore(source, env).namespace("ops")

    def again() -> ImportReport:
        return run(import_legacy(ns(), source, Place(), ImportOptions(**options)))

    report = again()
    assert (report.ended, report.checked, report.astray) == (3, 7, 0)
    found = run(ns().get(f"{ITEM}/1/raw"))
    assert found is not None
    assert (found.meta.lifetime, found.meta.created, found.expires) == ("1h", CREATED_MS, env.wall + ENDED_GRACE_MS)
    assert again().imported == 0
    env.advance(ENDED_GRACE_MS / 1000 + 1)
    assert run(ns().get(f"{ITEM}/1/raw")) is None
    report = again()
    assert (report.imported, report.unchanged) == (0, 7), "what has expired since is not brought back"
    live = [entry.key for chunk in drain(run(ns().snapshot()).scan()) for entry in chunk]
    assert live == [f"{ITEM}/latest"]


def test_an_odd_date_stops_nothing() -> None:
    files = tree(range(1, 2), createdAt="1912-01-01T00:00:00Z") | tree(
        range(2, 3), createdAt="2100-01-01T00:00:00Z", lifetime="9999y"
    )
    store = memory(legacy(files, **{f"{ITEM}/1/raw": an_entry(10, "0001-01-01T00:00:00Z")}))
    assert take(store).versions == 2


@pytest.mark.parametrize("options", WAYS)
def test_a_number_that_no_version_has_is_reported(options: dict[str, bool]) -> None:
    folders = [f"{ITEM}/0", f"{ITEM}/9223372036854775808"]
    files = {f"{folder}/{leaf}": b"x" for folder in folders for leaf in ("raw", "metadata.yaml")}
    store = memory(legacy(tree(range(1, 2)) | files))
    report = take(store, **options)
    assert adds_up(report)
    assert (report.versions, report.not_versions) == (1, 2)
    assert report.not_versions_examples == [
        f"{folders[0]}: versions begin at 1",
        f"{folders[1]}: its number has 19 digits, more than 15",
    ]
    assert all(get(store, f"{folder}/raw").meta.data is None for folder in folders)
    assert take(store, **options).not_versions == 0
