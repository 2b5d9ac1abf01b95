"""``swamp data gc``, ``prune`` and ``swamp run gc``: a preview first, the known shapes, the right things gone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import swampstore
from swampstore_cli.commands import data_prune
from tests.cli.conftest import Done, Swamp

WEB = "aws/ec2:web-1"
DAY_MS = 86_400_000


@pytest.fixture
def old(store: Path, swamp: Swamp) -> None:
    """Two versions that have expired, three of which two are kept, one that lives for ever."""
    now = time.time_ns() // 1_000_000
    for _ in range(3):
        swamp("data", "put", WEB, "state", "--keep", "2", "--ordinal", stdin=os.urandom(10_000))
    swamp("data", "put", WEB, "log", "--ordinal", stdin=b"for ever")
    with swampstore.open(str(store)) as opened:
        datum = [
            swampstore.Datum(model_type="aws/ec2", model_id="web-1", name="cache", ordinal=number) for number in (1, 2)
        ]
        opened.namespace("default").append(
            [
                swampstore.Put(
                    key=f"data/aws/ec2/web-1/cache/{one.ordinal}/raw",
                    data=b"c" * 1000,
                    datum=one,
                    lifetime="1d",
                    created=now - 2 * DAY_MS,
                    expires=now - DAY_MS,
                )
                for one in datum
            ]
        )
    swamp("datastore", "compact")


def names(swamp: Swamp) -> list[tuple[str, int | None]]:
    found = swamp("data", "search", "--all-versions", "--json").document["results"]
    return sorted((one["name"], one["version"]) for one in found)


LEFT = [("log", 1), ("state", 2), ("state", 3)]


@pytest.mark.usefixtures("old")
def test_a_gc_shows_before_it_deletes(swamp: Swamp) -> None:
    done = swamp("data", "gc")
    assert done.code == 0
    rows = {tuple(line.split()[:2]): line.split()[2:4] for line in done.out.splitlines()[1:3]}
    assert rows == {(WEB, "cache"): ["2", "expired"], (WEB, "state"): ["1", "superseded"]}
    assert "would delete 3 versions (2 expired, 1 superseded), 12.3 kB" in done.out
    assert "--yes" in done.err
    assert swamp("data", "gc", "--dry-run").err == ""
    assert names(swamp) == [("log", 1), ("state", 1), ("state", 2), ("state", 3)]  # what has expired is not seen
    done = swamp("data", "gc", "--yes")
    assert (done.code, done.err) == (0, "")
    assert "deleted 3 versions (2 expired, 1 superseded), 12.3 kB" in done.out
    assert names(swamp) == LEFT
    assert swamp("data", "gc", "--yes").out == "nothing to delete in namespace default\n"


@pytest.mark.usefixtures("old")
def test_a_gc_as_json_never_deletes_without_yes(swamp: Swamp) -> None:
    shown = swamp("data", "gc", "--json").document
    assert shown == shown | {
        "dryRun": True,
        "expiredDataCount": 2,
        "dataEntriesExpired": 2,
        "versionsDeleted": 3,
        "bytesReclaimed": shown["bytesReclaimed"],
        "limited": False,
    }
    assert 12_000 <= shown["bytesReclaimed"] < 13_000  # contents, and the metadata of the numbered version
    assert [(one["type"], one["modelId"], one["dataName"], one["version"]) for one in shown["expiredData"]] == [
        ("aws/ec2", "web-1", "cache", 1),
        ("aws/ec2", "web-1", "cache", 2),
    ]
    assert [(one["dataName"], one["version"], one["reason"]) for one in shown["versionGcItems"]] == [
        ("state", 1, "superseded")
    ]
    done = swamp("data", "gc", "--json", "--force").document
    assert (done["dryRun"], done["versionsDeleted"], len(done["expiredEntries"])) == (False, 3, 2)
    assert names(swamp) == LEFT


@pytest.mark.usefixtures("old")
def test_the_compactor_does_it_when_told_to(swamp: Swamp, store: Path) -> None:
    done = swamp("data", "gc", "--auto", "on")
    assert "the compactor of namespace default runs a gc by itself" in done.out
    assert "would delete 3 versions" in done.out
    assert swamp("data", "gc", "--auto", "off", "--json").document["auto"] is False
    with swampstore.open(str(store)) as opened:
        assert opened.namespace("default").retention().auto is False
    assert len(names(swamp)) == 4
    for bad in (("--auto", "maybe"), ("--auto", "on", "--yes")):
        assert swamp("data", "gc", *bad).code == 2


def test_a_namespace_that_is_not_there(swamp: Swamp, store: Path) -> None:
    for arguments in (("data", "gc"), ("data", "prune"), ("run", "gc")):
        done = swamp(*arguments, "--yes", "--namespace", "typo", "--json")
        assert (done.code, done.error["code"]) == (1, "not-found")
    assert not (store / "typo").exists()


# --- prune -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def models(swamp: Swamp, repo: Path, store: Path) -> None:
    (repo / "models" / "aws" / "ec2").mkdir(parents=True)
    (repo / "models" / "aws" / "ec2" / "web.yaml").write_text("id: web-1\nname: web\n")
    now = time.time_ns() // 1_000_000
    kept = [("aws/ec2", "web-1"), ("aws/rds", "web-1"), ("aws/ec2", "gone"), ("workflow", "w"), ("swamp/grant", "g")]
    with swampstore.open(str(store)) as opened:
        opened.namespace("default").append(
            [
                swampstore.Put(
                    key=f"data/{kind}/{id_}/{name}/1/raw",
                    data=b"x" * 100,
                    datum=swampstore.Datum(model_type=kind, model_id=id_, name=name, ordinal=1),
                    created=now - 3 * DAY_MS,
                )
                for kind, id_ in kept
                for name in ("a", "b")
            ]
        )


def left(swamp: Swamp) -> list[str]:
    return [f"{one['modelType']}:{one['modelId']}" for one in swamp("data", "list", "--json").document["models"]]


ALL = ["aws/ec2:gone", "aws/ec2:web-1", "aws/rds:web-1", "swamp/grant:g", "workflow:w"]


@pytest.mark.usefixtures("models")
def test_a_prune_takes_models_without_a_definition(swamp: Swamp) -> None:
    """A definition counts for its own type only: a model that changed its type has left its old data behind."""
    done = swamp("data", "prune")
    assert "would delete 4 versions of 2 models without a definition (400 B)" in done.out
    assert [line.split()[0] for line in done.out.splitlines()[1:3]] == ["aws/ec2:gone", "aws/rds:web-1"]
    assert "--yes" in done.err
    shown = swamp("data", "prune", "--json").document
    assert (shown["dryRun"], shown["modelsReclaimed"], shown["versionsDeleted"]) == (True, 2, 4)
    assert [one["modelId"] for one in shown["reclaimedModels"]] == ["gone", "web-1"]
    assert left(swamp) == ALL
    done = swamp("data", "prune", "--yes")
    assert "deleted 4 versions of 2 models (400 B)" in done.out
    assert left(swamp) == ["aws/ec2:web-1", "swamp/grant:g", "workflow:w"]
    assert swamp("data", "prune", "--json", "-f").document["modelsReclaimed"] == 0


@pytest.mark.usefixtures("models")
def test_what_may_only_look_orphaned_stays(swamp: Swamp, repo: Path) -> None:
    swamp("data", "put", "aws/ec2:gone", "a", stdin=b"just now")
    assert [one["type"] for one in swamp("data", "prune", "--json").document["reclaimedModels"]] == ["aws/rds"]
    assert swamp("data", "prune", "--older-than", "4d", "--json").document["reclaimedModels"] == []
    assert swamp("data", "prune", "--space", "--json").document["reclaimedModels"] == []
    (repo / "models" / "aws" / "ec2" / "web.yaml").unlink()
    done = swamp("data", "prune", "--yes")
    assert "no definitions in" in done.err
    assert left(swamp) == ALL


@pytest.mark.usefixtures("models")
def test_those_rules_are_what_keeps_it(swamp: Swamp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_prune, "ALWAYS_LIVE", ())
    shown = swamp("data", "prune", "--older-than", "0d", "--json").document
    assert [one["type"] for one in shown["reclaimedModels"]] == ["aws/ec2", "aws/rds", "swamp/grant", "workflow"]


# --- run gc ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(swamp: Swamp, store: Path) -> None:
    now = time.time_ns() // 1_000_000
    old, young = now - 40 * DAY_MS, now - 10 * DAY_MS
    files = {
        "workflow-runs/w/workflow-run-1.yaml": ("status: succeeded\n", old),
        "workflow-runs/w/workflow-run-1.log": ("...", old),
        "workflow-runs/w/workflow-run-2.yaml": ("status: running\n", old),
        "workflow-runs/w/workflow-run-3.yaml": ("status: failed\n", young),
        "outputs/command/shell/run/1.yaml": ("status: succeeded\n", old),
        "outputs/command/shell/run/2.yaml": ("status: succeeded\n", young),
        "reports/old.txt": ("not a run", old),
    }
    with swampstore.open(str(store)) as opened:
        opened.namespace("default").append(
            [swampstore.Put(key=key, data=text, modified=at) for key, (text, at) in files.items()]
        )


def keys(done: Done) -> list[str]:
    return sorted(one["path"] for one in done.document["entries"])


OLD = [
    "outputs/command/shell/run/1.yaml",
    "workflow-runs/w/workflow-run-1.log",
    "workflow-runs/w/workflow-run-1.yaml",
]


@pytest.mark.usefixtures("runs")
def test_run_gc_takes_old_runs_that_have_ended(swamp: Swamp) -> None:
    done = swamp("run", "gc")
    assert "would delete 3 records (3 of old runs)" in done.out
    assert "--yes" in done.err
    shown = swamp("run", "gc", "--json")
    assert (shown.document["dryRun"], shown.document["runsDeleted"], keys(shown)) == (True, 3, OLD)
    assert len(keys(swamp("run", "gc", "--older-than", "7d", "--json"))) == 5
    assert keys(swamp("run", "gc", "--outputs", "1y", "--json")) == OLD[1:]
    assert swamp("run", "gc", "--yes").out.startswith("  DATA")
    assert [key for key in swamp("object", "list").out.split() if key in OLD] == []
    assert len(swamp("object", "list").out.split()) == 4
    assert swamp("run", "gc", "--yes").out == "nothing to delete in namespace default\n"


@pytest.mark.parametrize("arguments", [("--older-than", "soon"), ("--outputs", "1"), ("--yes", "--dry-run")])
def test_wrong_usage(swamp: Swamp, store: Path, arguments: tuple[str, ...]) -> None:
    assert swamp("run", "gc", *arguments).code == 2
