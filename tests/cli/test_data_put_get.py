"""``swamp data put`` and ``get``: versions, numbers, models by name, contents in every form."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

import swampstore
from tests.cli.conftest import Swamp

pytestmark = pytest.mark.usefixtures("store")
WEB = "aws/ec2:web-1"


def test_a_version_is_the_latest_at_once_and_gets_its_number_from_the_fold(swamp: Swamp, repo: Path) -> None:
    (repo / "state.json").write_text('{"n": 1}')
    put = swamp("data", "put", WEB, "state", "state.json")
    assert put.code == 0
    first, second = put.out.splitlines()
    assert first == f"put pending (8 B) of state of {WEB} in namespace default"
    assert second.startswith("id ")
    assert swamp("data", "get", WEB, "state").out == '{"n": 1}'
    shown = swamp("data", "get", WEB, "state", "--json").document
    assert (shown["version"], shown["pending"], shown["id"]) == (None, True, second[3:])
    swamp("datastore", "compact")
    shown = swamp("data", "get", WEB, "state", "--json").document
    assert (shown["version"], shown["pending"], shown["id"]) == (1, False, second[3:])
    assert swamp("data", "get", WEB, "state", "--version", "1").out == '{"n": 1}'
    assert swamp("data", "get", WEB, "state", "--version", second[3:]).out == '{"n": 1}'


def test_who_needs_the_number_waits_for_it(swamp: Swamp) -> None:
    for number in (1, 2):
        put = swamp("data", "put", WEB, "state", "--ordinal", "--json", stdin=b"%d" % number).document
        assert (put["version"], put["pending"], put["durable"], put["size"]) == (number, False, True, 1)
        assert (put["modelType"], put["modelId"], put["name"]) == ("aws/ec2", "web-1", "state")
    assert swamp("data", "put", WEB, "state", "--ordinal", stdin=b"3").out.startswith("put v3 (1 B)")
    assert [swamp("data", "get", WEB, "state", "--version", str(number)).out for number in (1, 2, 3)] == ["1", "2", "3"]
    assert swamp("data", "get", WEB, "state", "--version", "v2").out == "2"
    assert swamp("data", "get", WEB, "state").out == "3"


def test_everything_said_of_it_comes_back_in_the_known_shape(swamp: Swamp, repo: Path) -> None:
    (repo / "s.json").write_text("[1]")
    labels = ("--tag", "type=resource", "--tag", "env=prod", "--lifetime", "30d", "--keep", "5", "--streaming")
    swamp("data", "put", WEB, "state", "s.json", *labels, "--owner", "ownerType=manual", "--ordinal")
    found = swamp("data", "get", WEB, "state", "--json").document
    assert found == found | {
        "name": "state",
        "modelId": "web-1",
        "modelName": "web-1",
        "modelType": "aws/ec2",
        "version": 1,
        "contentType": "application/json",
        "lifetime": "30d",
        "garbageCollection": 5,
        "streaming": True,
        "tags": {"type": "resource", "env": "prod"},
        "size": 3,
        "checksum": hashlib.sha256(b"[1]").hexdigest(),
        "contentPath": "data/aws/ec2/web-1/state/1/raw",
        "content": [1],
        "contentEncoding": "utf-8",
        "namespace": "default",
    }
    assert found["ownerDefinition"]["ownerType"] == "manual"
    assert found["createdAt"] < found["expiresAt"]
    bare = swamp("data", "get", WEB, "state", "--json", "--no-content").document
    assert bare == {key: value for key, value in found.items() if key not in ("content", "contentEncoding")}
    lines = swamp("data", "get", WEB, "state", "--no-content").out.splitlines()
    assert "tags:              env=prod, type=resource" in lines


@pytest.mark.parametrize(
    ("kind", "data", "content", "encoding"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}, "utf-8"),
        ("application/json", b"no json", "no json", "utf-8"),
        ("text/plain", "\ufeffhällo".encode(), "hällo", "utf-8"),
        ("image/png", b"\x89PNG\xff", base64.b64encode(b"\x89PNG\xff").decode(), "base64"),
        ("", b"", "", "utf-8"),
    ],
)
def test_contents_in_a_document(swamp: Swamp, kind: str, data: bytes, content: object, encoding: str) -> None:
    swamp("data", "put", WEB, "state", *(("--content-type", kind) if kind else ()), stdin=data)
    found = swamp("data", "get", WEB, "state", "--json").document
    assert (found["content"], found["contentEncoding"]) == (content, encoding)


def test_contents_into_a_file_or_a_descriptor(swamp: Swamp, process: Swamp, repo: Path) -> None:
    body = os.urandom(100_000)
    swamp("data", "put", WEB, "log", stdin=body)
    assert swamp("data", "get", WEB, "log", "-o", "out").out == "wrote 100.0 kB (pending) to out\n"
    assert (repo / "out").read_bytes() == body
    told = swamp("data", "get", WEB, "log", "-o", "out", "--json").document
    assert told["output"] == str(repo / "out")
    assert "content" not in told
    swamp("data", "put", WEB, "text", stdin=b"text")
    done = process("data", "get", WEB, "text", "-o", "/dev/stdout")
    assert (done.out, done.err) == ("text", "wrote 4 B (pending) to /dev/stdout\n")


def test_the_state_at_a_time(swamp: Swamp) -> None:
    swamp("data", "put", WEB, "state", "--ordinal", stdin=b"old")
    shown = swamp("data", "get", WEB, "state", "--json").document
    swamp("data", "put", WEB, "state", "--ordinal", stdin=b"new")
    if swamp("data", "get", WEB, "state", "--json").document["createdAt"] > shown["createdAt"]:
        assert swamp("data", "get", WEB, "state", "--as-of", shown["createdAt"]).out == "old"
    done = swamp("data", "get", WEB, "state", "--as-of", "2001-01-01")
    assert (done.code, "as of" in done.err) == (1, True)


def test_what_is_not_there_is_said_with_what_is(swamp: Swamp) -> None:
    done = swamp("data", "get", WEB, "state", "--json")
    assert (done.code, done.error["code"]) == (1, "not-found")
    for data in (b"1", b"2"):
        swamp("data", "put", WEB, "state", "--ordinal", stdin=data)
    done = swamp("data", "get", WEB, "state", "--version", "7")
    assert done.code == 1
    assert "no version 7" in done.err
    assert "v2, v1" in done.err
    assert swamp("data", "get", WEB, "stat").code == 1
    assert swamp("data", "versions", WEB, "stat").code == 1


# --- models ----------------------------------------------------------------------------------------------------------


def define(repo: Path, kind: str, file: str, id_: str, name: str) -> None:
    folder = repo / "models" / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(
        f'# a model\nid: {id_}\nname: "{name}"  # said\nversion: 1\nmethods:\n  run:\n    id: no\n'
    )


def test_a_model_by_the_name_or_id_of_its_definition(swamp: Swamp, repo: Path) -> None:
    define(repo, "command/shell", "nightly.yaml", "7c1e-11", "nightly")
    assert "nightly (command/shell:7c1e-11)" in swamp("data", "put", "nightly", "report", stdin=b"x").out
    for model in ("nightly", "7c1e-11", "command/shell:7c1e-11"):
        found = swamp("data", "get", model, "report", "--json").document
        assert (found["modelType"], found["modelId"], found["modelName"]) == ("command/shell", "7c1e-11", "nightly")


def test_a_model_without_a_definition_here_is_found_among_the_data(swamp: Swamp) -> None:
    swamp("data", "put", "command/shell:7c1e-11", "report", "--tag", "modelName=nightly", stdin=b"x")
    swamp("data", "put", WEB, "state", stdin=b"y")
    assert swamp("data", "get", "nightly", "report").out == "x"
    assert swamp("data", "get", "7c1e-11", "report").out == "x"
    assert swamp("data", "get", "web-1", "state").out == "y"


def test_a_model_is_never_guessed(swamp: Swamp, repo: Path) -> None:
    swamp("data", "put", "a/b:one", "x", "--tag", "modelName=twin", stdin=b"x")
    swamp("data", "put", "a/c:two", "x", "--tag", "modelName=twin", stdin=b"x")
    done = swamp("data", "get", "twin", "x", "--json")
    assert (done.code, done.error["code"]) == (2, "misuse")
    assert "a/b:one, a/c:two" in done.error["error"]
    done = swamp("data", "get", "none", "x", "--json")
    assert (done.code, done.error["code"]) == (1, "not-found")
    assert "TYPE:ID" in done.error["hint"]
    define(repo, "a/b", "one.yaml", "one", "only")
    assert swamp("data", "get", "only", "x").out == "x"


@pytest.mark.parametrize(
    "arguments",
    [
        ("put", "web-1:", "state"),
        ("put", ":web-1", "state"),
        ("put", WEB, "a/b"),
        ("put", WEB, ".."),
        ("put", WEB, "state", "--lifetime", "soon"),
        ("put", WEB, "state", "--keep", "some"),
        ("put", WEB, "state", "--tag", "x"),
        ("put", WEB),
        ("get", WEB),
        ("get", WEB, "state", "more"),
        ("get", WEB, "state", "--version", "first"),
        ("get", WEB, "state", "--as-of", "soon"),
        ("get", WEB, "state", "--workflow", "w"),
        ("get", "state", "--workflow", "w", "--as-of", "1d"),
        ("get", WEB, "state", "--version", "1", "--as-of", "1d"),
        ("list", "--limit", "0"),
        ("list", WEB, "--workflow", "w"),
        ("versions", WEB, "state", "--limit", "0"),
        ("search", "--limit", "-1"),
        ("search", "--since", "soon"),
        ("search", "--tag", "x"),
        ("delete", WEB),
        ("delete", WEB, "state", "--all"),
        ("delete", WEB, "--prefix", "s", "--version", "1"),
        ("delete", WEB, "state", "--yes", "--dry-run"),
        ("rename", WEB, "state"),
        ("gc", "--yes", "--dry-run"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_writes_nothing(swamp: Swamp, store: Path, arguments: tuple[str, ...]) -> None:
    swamp("object", "put", "k", stdin=b"the namespace is there")
    with swampstore.open(str(store)) as opened:
        before = opened.namespace("default").status().log_segments
    done = swamp("data", *arguments, "--json")
    assert (done.code, done.out) == (2, "")
    assert json.loads(done.err)["error"]
    with swampstore.open(str(store)) as opened:
        assert opened.namespace("default").status().log_segments == before
