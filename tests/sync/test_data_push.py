"""Pushing version folders: what their entries say, and what happens to folders that are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swampstore.env.blocking import run
from swampstore.limits import PART_BYTES
from swampstore.values.data import Datum, parse_path, version_folder
from swampstore.values.deltas import Relabel
from swampstore.values.entry import Blob
from swampstore.workers.sync.wording import Wording
from tests.sync.data_versions import ITEM, api, entry, known, make, metadata, remove
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]
CREATED_MS = 1_590_969_600_000
YEAR_MS = 365 * 86_400_000
RAW, META = f"{ITEM}/1/raw", f"{ITEM}/1/metadata.yaml"


@pytest.mark.parametrize("size", [10, 9_000, PART_BYTES + 1])
def test_the_entry_says_what_metadata_says(machine: Make, size: int) -> None:
    a = machine("a")
    make(a, 1, b"x" * size, lifetime="90y", garbageCollection="30d", streaming="true", ownTool="42")
    report = a.sync()
    assert (report.pushed, report.not_versions, report.skipped) == (2, [], [])
    raw = known(a, RAW)
    assert raw.meta.data == Datum(
        "aws/ec2", "m1", "report", 1, keep="30d", streaming=True,
        data_id="0b9f3f3e-7d6c-4f0e-9a51-000000000001", extra={"ownTool": "42"},
    )  # fmt: skip
    assert (raw.content_type, raw.tags) == ("application/json", {"type": "report", "run": "r1"})
    assert (raw.meta.lifetime, raw.meta.created) == ("90y", CREATED_MS)
    assert raw.expires == known(a, META).expires == CREATED_MS + 90 * YEAR_MS
    assert known(a, META).meta.data is None
    assert [version.ordinal for version in run(api(a).versions())] == [1]
    assert a.sync().idle
    b = machine("b")
    b.sync()
    assert b.files() == a.files()


def test_what_lies_elsewhere_is_plain(machine: Make) -> None:
    """Numeric folders without metadata, version 0, odd numbers, other names, too shallow paths."""
    a = machine("a")
    for folder in (f"{ITEM}/7", f"{ITEM}/007", f"{ITEM}/v1", "data/1", "outputs/t/m/n/1"):
        a.write(f"{folder}/raw", "plain")
        if folder != f"{ITEM}/7":
            a.write(f"{folder}/metadata.yaml", metadata(1, b"plain"))
    a.sync()
    assert all(known(a, key).meta.data is None for key in a.files())
    make(a, 0, b"zero")
    report = a.sync()
    assert known(a, f"{ITEM}/0/raw").meta.data is None
    assert [one.path for one in report.not_versions] == [f"{ITEM}/0"]


BAD = {
    "another name": ({"name": "other"}, "of 'other'"),
    "another version": ({"version": "2"}, "says version 2"),
    "a lying size": ({"size": "3"}, "says 3 bytes"),
    "a lying hash": ({"checksum": "ab" * 32}, "checksum"),
    "no id": ({"id": ""}, "id is missing"),
    "an odd lifetime": ({"lifetime": "10 parsecs"}, "parsecs"),
    "a version overflow": ({"version": "9" * 18}, "says version"),
    "huge tags": ({"run": "x" * 20_000}, "tags"),
    "broken yaml": ({"streaming": "]["}, "cannot be read"),
    "a huge file": ({"filler": "x" * 300_000}, "more than"),
    "deep nesting": ({"ownTool": "[" * 40 + "]" * 40}, "levels deep"),
    "a type that is no text": ({"contentType": "é" * 300}, "content type"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_contradicts_itself_is_synced_as_plain_files_and_named(machine: Make, name: str) -> None:
    fields, said = BAD[name]
    a, b = machine("a"), machine("b")
    make(a, 1, b"contents", **{"lifetime": "90y"} | fields)
    report = a.sync()
    assert report.pushed == 2
    assert [one.path for one in report.not_versions] == [f"{ITEM}/1"]
    assert said in report.not_versions[0].reason
    raw = known(a, RAW)
    assert (raw.meta.data, raw.tags, raw.expires, known(a, META).expires) == (None, {}, 0, 0)
    b.sync()
    assert {key: data for key, data in b.files().items() if key != f"{ITEM}/latest"} == {
        key: data for key, data in a.files().items() if key != f"{ITEM}/latest"
    }
    assert a.sync().idle
    assert a.sync().not_versions == []


def test_a_large_file_that_is_not_what_it_says(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"x" * (PART_BYTES + 1), checksum="ab" * 32)
    report = a.sync()
    assert (report.pushed, len(report.not_versions)) == (2, 1)
    assert known(a, RAW).meta.data is None


# --- metadata alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("compacted", [False, True])
def test_edited_tags_are_said_anew_without_the_contents(machine: Make, size: int, compacted: bool) -> None:
    a, b = machine("a"), machine("b")
    body = b"x" * size
    make(a, 1, body)
    a.sync()
    if compacted:
        a.compact()
    b.sync()
    before = known(a, RAW)
    a.write(META, metadata(1, body, run="r2", lifetime="80y"), mtime=OLD + 5)
    report = a.sync()
    assert (report.pushed, report.appends, report.bytes_up) == (1, 1, len(metadata(1, body, run="r2", lifetime="80y")))
    raw = known(a, RAW)
    assert (raw.tags["run"], raw.meta.lifetime, raw.meta.at) == ("r2", "80y", before.meta.at)
    assert raw.expires == known(a, META).expires == CREATED_MS + 80 * YEAR_MS
    assert isinstance(raw.meta.at, Blob) == (size > 4096)
    assert a.sync().idle
    report = b.sync()
    assert (report.pulled, report.conflicts) == (1, [])
    assert b.files() == a.files()
    assert a.sync().idle
    assert b.sync().idle
    assert run(api(a).read(1, as_of=None)) == body


def test_without_that_the_entry_would_say_the_old_tags(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = machine("a")
    make(a, 1, b"x")
    a.sync()
    monkeypatch.setattr(Wording, "wanted", lambda self, steps: [])
    a.write(META, metadata(1, b"x", run="r2"), mtime=OLD + 5)
    a.sync()
    assert known(a, RAW).tags["run"] == "r1"


def test_an_entry_that_changed_meanwhile_is_not_said_anew(machine: Make) -> None:
    """Somebody replaces the contents between the look and the append: his contents stay, and it is reported."""
    a, b = machine("a"), machine("b")
    make(a, 1, b"old")
    a.sync()
    b.sync()
    a.write(META, metadata(1, b"old", run="r2"), mtime=OLD + 5)
    met: list[str] = []

    def before(verb: str, name: str) -> None:
        if verb == "list" and met == ["once"]:
            met.append("twice")
            make(b, 1, b"new", mtime=OLD + 9)
            b.sync()
        elif verb == "list" and not met:
            met.append("once")

    report = a.sync(before=before)
    assert met == ["once", "twice"]
    assert [skip.path for skip in report.skipped] == [RAW]
    for one in (b, a, b, a, b):
        one.sync()
    assert a.files() == b.files()
    assert a.files()[RAW] == b"new"


def test_metadata_of_contents_that_are_not_here(machine: Make) -> None:
    """A metadata-only tree edits tags: the entry follows, the contents stay where they are."""
    a, b = machine("a"), machine("b")
    make(a, 1, b"x" * 9_000)
    a.sync()
    b.sync(metadata_only=True)
    b.write(META, metadata(1, b"x" * 9_000, run="r2"), mtime=OLD + 5)
    b.sync(metadata_only=True)
    assert known(a, RAW).tags["run"] == "r2"
    assert known(a, RAW).meta.data is not None
    assert b.sync(metadata_only=True).idle
    a.sync()
    b.sync()
    assert a.files() == b.files()


def test_contents_whose_metadata_is_not_here_stay_a_version(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    make(a, 1, b"x")
    a.sync()
    b.sync(exclude=("metadata.yaml",))
    b.write(RAW, "y", mtime=OLD + 5)
    b.sync(exclude=("metadata.yaml",))
    raw = known(a, RAW)
    assert raw.meta.data == Datum(
        "aws/ec2", "m1", "report", 1, keep="5", data_id="0b9f3f3e-7d6c-4f0e-9a51-000000000001"
    )
    assert raw.tags["run"] == "r1"


def test_metadata_that_breaks_later_leaves_the_version_as_it_was(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"x")
    a.sync()
    a.write(META, "[", mtime=OLD + 5)
    report = a.sync()
    assert (report.pushed, len(report.not_versions)) == (1, 1)
    assert known(a, RAW).meta.data is not None
    a.write(META, metadata(1, b"x", run="r3"), mtime=OLD + 9)
    assert a.sync().not_versions == []
    assert known(a, RAW).tags["run"] == "r3"


def test_what_it_says_of_a_read_location_is_checked_before_it_is_sent(machine: Make) -> None:
    """The rule on carried locations itself is tested where it is enforced: tests/client/test_relabel.py."""
    a = machine("a")
    make(a, 1, b"x" * 300_000)
    a.sync()
    a.write(META, metadata(1, b"x" * 300_000, checksum="cd" * 32), mtime=OLD + 5)
    sent: list[object] = []
    namespace = a.namespace()
    append = namespace.append

    async def watch(deltas: object, **options: bool) -> object:
        sent.extend(deltas)  # type: ignore[call-overload]
        return await append(deltas, **options)  # type: ignore[arg-type]

    namespace.append = watch  # type: ignore[method-assign, assignment]
    a.namespace = lambda before=None: namespace  # type: ignore[method-assign]
    assert len(a.sync().not_versions) == 1
    assert sent
    assert not any(isinstance(delta, Relabel) for delta in sent)


# --- lifetimes -----------------------------------------------------------------------------------------------------


def test_what_is_past_its_lifetime_is_not_pushed(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"old", lifetime="1h")
    make(a, 2, b"new")
    report = a.sync()
    assert (report.pushed, report.expired, report.skipped) == (2, 2, [])
    assert entry(a, RAW) is None
    assert a.sync().expired == 2
    assert set(a.files()) == {f"{ITEM}/{n}/{leaf}" for n in (1, 2) for leaf in ("raw", "metadata.yaml")} | {
        f"{ITEM}/latest"
    }


def test_a_longer_lifetime_brings_a_version_back(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"x", lifetime="1h")
    a.sync()
    a.write(META, metadata(1, b"x", lifetime="99y"), mtime=OLD + 5)
    assert a.sync().pushed == 2
    assert known(a, RAW).expires == CREATED_MS + 99 * YEAR_MS


def test_clocks_of_1912_1970_and_2100(machine: Make) -> None:
    a = machine("a")
    for number, created in enumerate(("1912-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"), 1):
        make(a, number, b"x", createdAt=created)
    assert a.sync().pushed == 6
    assert [known(a, f"{ITEM}/{n}/raw").meta.created for n in (1, 2, 3)] == [1, 1, 4_102_444_800_000]
    make(a, 4, b"x", createdAt="2100-01-01T00:00:00Z", lifetime="999999999y")
    make(a, 5, b"x", createdAt="1912-01-01T00:00:00Z", lifetime="1d")
    report = a.sync()
    assert (report.pushed, report.expired) == (2, 2)


def test_a_deleted_version_goes_as_a_whole(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for number in (1, 2):
        make(a, number, b"%d" % number)
    a.sync()
    b.sync()
    remove(a, 2)
    assert a.sync().deleted_remote == 2
    assert b.sync().deleted_local == 2
    assert a.files() == b.files()
    assert [version.ordinal for version in run(api(a).versions())] == [1]


@given(st.lists(st.sampled_from(["data", "", "t", "0", "1", "12", "007", "raw", "metadata.yaml", "latest", "-1"])))
def test_the_quick_look_at_a_path_says_what_the_layout_says(parts: list[str]) -> None:
    key = "/".join(parts)
    path = parse_path(key)
    wanted = path is not None and path.leaf != "latest" and bool(path.ordinal)
    assert version_folder(key) == (key.rpartition("/")[0] if wanted else None)
