"""``swamp data list``, ``versions`` and ``search``: tables for people, the known shapes for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from swampstore_cli import datum
from tests.cli.conftest import Done, Swamp

WEB, DB = "aws/ec2:web-1", "aws/rds:db"


@pytest.fixture
def filled(swamp: Swamp, store: Path) -> None:
    def put(model: str, name: str, *more: str) -> Done:
        return swamp("data", "put", model, name, *more, stdin=name.encode() * 10)

    run = ("--owner", "workflowName=deploy", "--owner", "workflowRunId=r2", "--owner", "ownerType=workflow-step")
    put(WEB, "state", "--tag", "type=resource", "--tag", "env=prod", "--content-type", "application/json", "--ordinal")
    put(WEB, "state", "--tag", "type=resource", "--tag", "env=prod", "--content-type", "application/json", "--ordinal")
    put(DB, "state", "--tag", "type=resource", "--tag", "modelName=orders", *run, "--ordinal")
    put(DB, "dump", "--tag", "type=file", *run[:2], "--owner", "workflowRunId=r1", "--ordinal")
    put(WEB, "log", "--tag", "type=file", "--content-type", "text/plain", "--streaming", "--lifetime", "30d")


def table(done: Done) -> list[list[str]]:
    """The words of each row below the header."""
    assert done.code == 0, done.err
    return [line.split() for line in done.out.splitlines()[1:]]


@pytest.mark.usefixtures("filled")
def test_the_models_that_have_data(swamp: Swamp) -> None:
    rows = table(swamp("data", "list"))
    assert [row[0] for row in rows] == [WEB, DB]
    assert rows[1][1:5] == ["orders", "2", "90", "B"]
    found = swamp("data", "list", "--json").document
    assert [(one["modelType"], one["modelId"], one["items"]) for one in found["models"]] == [
        ("aws/ec2", "web-1", 2),
        ("aws/rds", "db", 2),
    ]


@pytest.mark.usefixtures("filled")
def test_the_data_of_a_model(swamp: Swamp) -> None:
    assert [row[:6] for row in table(swamp("data", "list", WEB))] == [
        ["file", "log", "pending", "text/plain", "30", "B"],
        ["resource", "state", "v2", "application/json", "50", "B"],
    ]
    found = swamp("data", "list", WEB, "--json").document
    assert (found["modelId"], found["modelName"], found["modelType"]) == ("web-1", "web-1", "aws/ec2")
    assert (found["total"], found["limited"]) == (2, False)
    assert [group["type"] for group in found["groups"]] == ["file", "resource"]
    (item,) = found["groups"][1]["items"]
    assert set(item) >= {"id", "name", "version", "contentType", "type", "streaming", "size", "createdAt"}
    assert (item["name"], item["version"], item["size"]) == ("state", 2, 50)
    assert [row[1] for row in table(swamp("data", "list", WEB, "--type", "file"))] == ["log"]
    cut = swamp("data", "list", WEB, "--limit", "1")
    assert (len(table(cut)), "more" in cut.err) == (1, True)
    assert swamp("data", "list", WEB, "--limit", "1", "--json").document["limited"] is True
    assert swamp("data", "list", "aws/ec2:none").err.startswith("no data of model")
    assert swamp("data", "list", "aws/ec2:none", "--json").document["groups"] == []


@pytest.mark.usefixtures("filled")
def test_the_data_of_a_workflows_run(swamp: Swamp) -> None:
    assert [row[:3] for row in table(swamp("data", "list", "--workflow", "deploy", "--run", "r2"))] == [
        ["orders", "resource", "state"]
    ]
    assert [row[2] for row in table(swamp("data", "list", "--workflow", "deploy"))] == ["dump"]  # the latest run
    assert swamp("data", "list", "--run", "r1", "--json").document["results"][0]["workflowRunId"] == "r1"
    assert swamp("data", "get", "--workflow", "deploy", "dump").out == "dump" * 10
    assert swamp("data", "get", "--run", "r2", "state").out == "state" * 10
    for bad in (("--workflow", "none"), ("--run", "r9")):
        assert swamp("data", "list", *bad).code == 1


@pytest.mark.usefixtures("filled")
def test_versions_newest_first(swamp: Swamp) -> None:
    swamp("data", "put", WEB, "state", stdin=b"third")
    rows = table(swamp("data", "versions", WEB, "state"))
    assert [row[0] for row in rows] == ["pending", "v2", "v1"]
    assert [row[-1] == "latest" for row in rows] == [True, False, False]
    found = swamp("data", "versions", WEB, "state", "--json").document
    assert (found["dataName"], found["total"], found["limited"]) == ("state", 3, False)
    assert [(one["version"], one["isLatest"], one["size"]) for one in found["versions"]] == [
        (None, True, 5),
        (2, False, 50),
        (1, False, 50),
    ]
    assert all(len(one["checksum"]) == 64 for one in found["versions"])
    assert len({one["id"] for one in found["versions"]}) == 3
    cut = swamp("data", "versions", WEB, "state", "--limit", "2")
    assert ([row[0] for row in table(cut)], "more" in cut.err) == (["pending", "v2"], True)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("", ["log", "state", "dump", "state"]),
        ("dump", ["dump"]),
        ("ORDERS", ["state"]),
        ("rds", ["dump", "state"]),
        ("--type resource", ["state", "state"]),
        ("--tag env=prod", ["state"]),
        ("--tag env=prod --tag type=file", []),
        ("--model aws/rds:db", ["dump", "state"]),
        ("--model orders", ["dump", "state"]),
        ("--model-type aws/ec2", ["log", "state"]),
        ("--name s*", ["state", "state"]),
        ("--lifetime 30d", ["log"]),
        ("--content-type application/json", ["state"]),
        ("--owner-type workflow-step", ["state"]),
        ("--workflow deploy", ["dump", "state"]),
        ("--run r1", ["dump"]),
        ("--streaming", ["log"]),
        ("--since 1h", ["log", "state", "dump", "state"]),
        ("--until 1h", []),
        ("--since 2001-01-01 --until 2001-01-02", []),
        ("--name state --all-versions", ["state", "state", "state"]),
        ("--limit 2", ["log", "state"]),
        ("--limit 0", ["log", "state", "dump", "state"]),
    ],
)
def test_a_search_keeps_what_holds_all_conditions(swamp: Swamp, arguments: str, names: list[str]) -> None:
    found = swamp("data", "search", *arguments.split(), "--json").document
    assert [one["name"] for one in found["results"]] == names
    assert (found["total"], found["limited"]) == (len(names), arguments == "--limit 2")
    done = swamp("data", "search", *arguments.split())
    assert [row[1] for row in table(done)] == names
    if not names:
        assert "nothing found" in done.err


@pytest.mark.usefixtures("filled")
def test_a_result_has_the_known_fields(swamp: Swamp) -> None:
    (one,) = swamp("data", "search", "orders", "--json").document["results"]
    assert one == one | {
        "name": "state",
        "modelName": "orders",
        "modelType": "aws/rds",
        "modelId": "db",
        "dataType": "resource",
        "ownerType": "workflow-step",
        "workflowName": "deploy",
        "workflowRunId": "r2",
        "version": 1,
        "streaming": False,
        "size": 50,
    }


def test_a_namespace_that_is_not_there(swamp: Swamp, store: Path) -> None:
    for arguments in (("list",), ("search",), ("list", WEB)):
        done = swamp("data", *arguments, "--namespace", "typo", "--json")
        assert (done.code, done.out, done.error["code"]) == (1, "", "not-found")
    assert not (store / "typo").exists()


def test_a_table_holds_on_when_a_later_row_is_wider(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "1")] * datum._MEASURED + [("much wider", "2")]
    assert datum.stream_table(("NAME", "N"), iter(rows), frozenset({1})) == len(rows)
    out = capsys.readouterr().out.splitlines()
    assert (out[0], out[1], out[-1]) == ("NAME  N", "a     1", "much wider  2")


def test_names_that_would_drive_a_terminal_are_escaped(swamp: Swamp, store: Path) -> None:
    swamp("data", "put", WEB, "a\x1b[2Jb", "--tag", "type=x\x1b[2J", stdin=b"x")
    for arguments in (("list", WEB), ("search",), ("get", WEB, "a\x1b[2Jb", "--no-content")):
        assert "\x1b" not in swamp("data", *arguments).out


def test_the_help_of_the_group_says_what_one_must_know(swamp: Swamp) -> None:
    told = swamp("data", "--help").out
    assert "A minute with data:\n    swamp data put" in told
    assert "shown as pending" in told
