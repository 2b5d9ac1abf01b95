"""``swamp datastore migrate`` between folders and buckets."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Swamp
from tests.cli.test_endings import interrupted
from tests.conftest import Bucket
from tests.servers import AWS_ENVIRONMENT


@pytest.fixture
def filled(swamp: Swamp, user: Path) -> Swamp:
    (user / "old").mkdir()
    (user / "new").mkdir()
    for namespace in ("ops", "web"):
        for name in ("a", "b"):
            swamp("object", "put", name, "--store", user / "old", "--namespace", namespace, stdin=name.encode() * 9000)
        swamp("data", "put", "aws/ec2:web", "state", "--store", user / "old", "--namespace", namespace, stdin=b"v1")
    return swamp


def test_one_namespace_and_again(filled: Swamp, user: Path) -> None:
    old, new = user / "old", user / "new"
    preview = filled("datastore", "migrate", old, new, "--namespace", "ops", "--dry-run")
    assert preview.out.startswith("would copy ")
    assert filled("datastore", "namespace", "list", "--store", new).out == ""
    done = filled("datastore", "migrate", old, new, "--namespace", "ops", "--verify", "full", "--json").document
    (report,) = done["namespaces"]
    assert (report["copied"], report["hashed"], report["astray"]) == (4, 4, 0)
    assert filled("object", "get", "a", "--store", new, "--namespace", "ops").out == "a" * 9000
    filled("object", "put", "c", "--store", old, "--namespace", "ops", stdin=b"c")
    filled("object", "delete", "a", "--store", old, "--namespace", "ops")
    assert filled("datastore", "migrate", old, new, "--namespace", "ops").out.startswith(
        "copied 1 entry of namespace ops"
    )
    assert filled("object", "list", "--store", new, "--namespace", "ops").out.split()[:2] == ["b", "c"]


def test_all_namespaces(filled: Swamp, user: Path) -> None:
    done = filled("datastore", "migrate", user / "old", user / "new", "--all", "--json").document
    assert [report["namespace"] for report in done["namespaces"]] == ["ops", "web"]
    assert filled("datastore", "namespace", "list", "--store", user / "new").out.split() == ["ops", "web"]


def test_under_another_name(filled: Swamp, user: Path) -> None:
    old = user / "old"
    assert filled("datastore", "migrate", old, old, "--namespace", "ops").code == 2
    assert filled("datastore", "migrate", old, old, "--namespace", "ops", "--as", "copy").code == 0
    assert filled("object", "get", "a", "--store", old, "--namespace", "copy").out == "a" * 9000


def test_refusals(filled: Swamp, user: Path) -> None:
    old, new = user / "old", user / "new"
    assert filled("datastore", "migrate", old, new, "--namespace", "none", "--json").error["code"] == "not-found"
    assert filled("datastore", "migrate", old, new, "--all", "--as", "x").code == 2
    assert filled("datastore", "migrate", old, new, "--namespace", "ops", "--verify", "x").code == 2
    assert filled("datastore", "migrate", old, user / "nowhere", "--namespace", "ops").code == 1
    filled("object", "put", "mine", "--store", new, "--namespace", "ops", stdin=b"")
    done = filled("datastore", "migrate", old, new, "--namespace", "ops", "--json")
    assert (done.code, done.error["code"]) == (3, "conflict")
    assert filled("datastore", "migrate", old, new, "--namespace", "ops", "--force").code == 0


@pytest.mark.parametrize("after", [5, 9])
def test_interrupted_it_says_how_to_go_on(filled: Swamp, user: Path, after: int) -> None:
    arguments = ("datastore", "migrate", user / "old", user / "new", "--namespace", "ops")
    ended = interrupted("put", after, *arguments, number=signal.SIGINT)
    assert ended.returncode == 130
    assert "run it again" in ended.stderr
    assert "Traceback" not in ended.stderr
    done = filled(*arguments, "--verify", "full", "--json").document["namespaces"][0]
    assert (done["checked"] > 0, done["astray"], done["damaged"]) == (True, 0, 0)
    assert filled("object", "get", "b", "--store", user / "new", "--namespace", "ops").out == "b" * 9000


def test_there_and_back_by_a_bucket(
    filled: Swamp, user: Path, moto_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    url = moto_bucket.url("team")
    assert filled("datastore", "migrate", user / "old", url, "--namespace", "ops").code == 0
    assert filled("object", "get", "a", "--store", url, "--namespace", "ops").out == "a" * 9000
    assert filled("datastore", "migrate", url, user / "new", "--namespace", "ops", "--verify", "full").code == 0
    first = filled("object", "list", "--json", "--store", user / "old", "--namespace", "ops").document
    assert filled("object", "list", "--json", "--store", user / "new", "--namespace", "ops").document == first
