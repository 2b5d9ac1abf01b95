"""A dry run says of versions of data what the sync then does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swampstore.workers.sync import session
from swampstore.workers.sync.report import SyncReport
from tests.sync.data_versions import ITEM, entry, known, make, metadata
from tests.sync.machines import OLD, Machine
from tests.sync.test_data_push import BAD, META, RAW

Make = Callable[..., Machine]


def said(report: SyncReport) -> tuple[object, ...]:
    return report.changes, report.planned, report.expired, report.not_versions, report.skipped, report.revived


def dry_then_real(machine: Machine) -> SyncReport:
    before = machine.files()
    dry = machine.sync(dry_run=True)
    assert (dry.pushed, machine.files()) == (0, before)
    real = machine.sync()
    assert said(dry) == said(real)
    return real


def test_what_is_past_its_lifetime_is_in_neither(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"old", lifetime="1h")
    make(a, 2, b"new")
    report = dry_then_real(a)
    assert (report.expired, report.pushed, report.planned["push"].files) == (2, 2, 2)
    assert [one.path for one in report.changes] == [f"{ITEM}/2/metadata.yaml", f"{ITEM}/2/raw"]
    report = dry_then_real(a)
    assert (report.expired, report.changes, report.planned) == (2, [], {})


def test_without_the_preview_they_differ(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    a = machine("a")
    make(a, 1, b"old", lifetime="1h")
    monkeypatch.setattr(session, "left_alone", lambda *_: frozenset())
    with pytest.raises(AssertionError):
        dry_then_real(a)


@pytest.mark.parametrize("name", BAD)
def test_folders_that_will_be_plain_files_are_named(machine: Make, name: str) -> None:
    a = machine("a")
    fields: dict[str, str] = {"lifetime": "90y"} | BAD[name][0]
    make(a, 1, b"contents", ITEM, OLD, **fields)
    report = dry_then_real(a)
    assert [one.path for one in report.not_versions] == [f"{ITEM}/1"]


@pytest.mark.parametrize("fields", [{"run": "r2"}, {"size": "3"}, {"checksum": "ab" * 32}, {"lifetime": "1h"}])
def test_new_words_about_contents_that_are_there(machine: Make, fields: dict[str, str]) -> None:
    a = machine("a")
    make(a, 1, b"contents")
    a.sync()
    a.write(META, metadata(1, b"contents", **fields), mtime=OLD + 5)
    report = dry_then_real(a)
    assert len(report.not_versions) == (fields.keys() <= {"size", "checksum"})
    assert report.expired == ("lifetime" in fields)


def test_what_a_pull_alone_does_not_look_at(machine: Make) -> None:
    a = machine("a")
    make(a, 1, b"old", lifetime="1h")
    report = a.sync(dry_run=True, push=False)
    assert (report.expired, report.changes) == (0, [])


NUMBERS = {
    "0": "begin at 1",
    "000": "begin at 1",
    "007": "begins with 0",
    "9223372036854775808": "19 digits",
    "1000000000000000": "16 digits",
    "100000000000000": "version 100000000000000",
}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_no_version_has_is_named(machine: Make, number: str) -> None:
    a = machine("a")
    for leaf, body in (("raw", b"x"), ("metadata.yaml", metadata(int(number), b"x"))):
        a.write(f"{ITEM}/{number}/{leaf}", body)
    report = dry_then_real(a)
    assert [one.path for one in report.not_versions] == [f"{ITEM}/{number}"]
    assert NUMBERS[number] in report.not_versions[0].reason
    assert report.pushed == 2
    assert known(a, f"{ITEM}/{number}/raw").meta.data is None
    assert a.sync().not_versions == []


@pytest.mark.parametrize(
    "key", ["data/t/0/metadata.yaml", "d/aws/ec2/m1/r/0/metadata.yaml", f"{ITEM}/x1/metadata.yaml"]
)
def test_what_does_not_look_like_a_version_is_not_named(machine: Make, key: str) -> None:
    a = machine("a")
    a.write(key, "x: 1")
    assert dry_then_real(a).not_versions == []
    assert entry(a, key) is not None
    assert entry(a, RAW) is None
