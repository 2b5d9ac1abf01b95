"""``swamp datastore``: setup, status, compact, namespace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

import swampstore
from tests.cli.conftest import Swamp


def fill(store: Path, namespace: str, count: int = 3) -> None:
    with swampstore.open(f"file://{store}?lanes=off") as opened:
        for number in range(count):
            opened.namespace(namespace).put(f"k{number}", b"x")


# --- setup -----------------------------------------------------------------------------------------------------------


def test_setup_makes_proves_and_writes_down(swamp: Swamp, repo: Path, user: Path) -> None:
    done = swamp("datastore", "setup", "filesystem", "../new/store", "--namespace", "ops")
    assert done.code == 0, done.err
    assert "fit for use" in done.out
    assert (user / "new" / "store").is_dir()
    written = yaml.safe_load((repo / ".swamp.yaml").read_text())
    expected = {"type": "filesystem", "path": str(user / "new" / "store"), "namespace": "ops"}
    assert written == {"datastore": expected}
    assert swamp("object", "put", "k", "--json", stdin=b"x").document["namespace"] == "ops"
    assert (user / "new" / "store" / "ops").is_dir()


def test_setup_again_changes_nothing(swamp: Swamp, repo: Path) -> None:
    assert swamp("datastore", "setup", "filesystem", "../s", "--json").document["changed"] is True
    before = (repo / ".swamp.yaml").read_text()
    assert swamp("datastore", "setup", "filesystem", "../s", "--json").document["changed"] is False
    assert (repo / ".swamp.yaml").read_text() == before


def test_setup_replaces_another_store_only_by_force_and_keeps_the_rest(swamp: Swamp, repo: Path, user: Path) -> None:
    (repo / ".swamp.yaml").write_text("# mine\ndatastore: {type: filesystem, path: /old, exclude: ['*.x']}\nb: 1\n")
    done = swamp("datastore", "setup", "filesystem", "../s")
    assert done.code == 3
    assert "--force" in done.err
    assert not (user / "s").exists()
    assert swamp("datastore", "setup", "filesystem", "../s", "--force").code == 0
    text = (repo / ".swamp.yaml").read_text()
    assert text.startswith("# mine\n")
    assert yaml.safe_load(text) == {
        "datastore": {"type": "filesystem", "path": str(user / "s"), "exclude": ["*.x"]},
        "b": 1,
    }


@pytest.mark.parametrize("path", [".swamp", ".swamp/store", "..", "."])
def test_a_store_may_not_lie_in_the_tree_nor_around_it(swamp: Swamp, repo: Path, path: str) -> None:
    done = swamp("datastore", "setup", "filesystem", path)
    assert done.code == 2
    assert "lie in one another" in done.err
    assert os.listdir(repo) == [".git"]


def test_setup_refuses_what_no_bucket_is_called_and_writes_nothing(swamp: Swamp, repo: Path) -> None:
    done = swamp("datastore", "setup", "s3", "!")
    assert done.code == 2
    assert os.listdir(repo) == [".git"]


def test_setup_without_credentials_writes_nothing(
    swamp: Swamp, repo: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(user / "none"))
    options = ("--region", "us-east-1", "--endpoint", "http://127.0.0.1:9", "--path-style")
    done = swamp("datastore", "setup", "s3", "team-bucket", *options, "--json")
    assert done.code == 1
    assert "credentials" in done.error["error"] + done.error["hint"]
    assert os.listdir(repo) == [".git"]


def test_setup_names_the_store_itself(swamp: Swamp) -> None:
    assert swamp("datastore", "setup", "filesystem", "../s", "--store", "/x").code == 2


# --- which store -----------------------------------------------------------------------------------------------------


def test_the_default_store_comes_into_being_on_use(swamp: Swamp, user: Path) -> None:
    done = swamp("datastore", "status")
    assert "it holds no namespace yet" in done.out
    assert "(by the default)" in done.out
    swamp("object", "put", "k", stdin=b"x")
    assert (user / "home/.local/share/swampstore/default/default").is_dir()


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("ftp://host/x", 2, "ftp"),
        ("s3://", 2, "bucket"),
        ("s3://team-bucket?regoin=x", 2, "regoin"),
        ("s3://key:hunter2@team-bucket", 2, "credentials"),
        ("file://host/x", 2, "file:///"),
        ("", 2, "empty"),
        ("/no/such/folder", 1, "does not exist"),
    ],
)
@pytest.mark.parametrize("command", [("datastore", "status"), ("object", "put", "k"), ("datastore", "sync")])
def test_stores_that_cannot_be(swamp: Swamp, command: tuple[str, ...], url: str, code: int, says: str) -> None:
    done = swamp(*command, "--store", url, "--json")
    assert done.code == code
    assert done.out == ""
    assert says in done.error["error"] + done.error["hint"]
    assert "hunter2" not in done.err


def test_a_missing_store_says_how_to_make_it(swamp: Swamp, user: Path) -> None:
    done = swamp("object", "put", "k", "--store", user / "none")
    assert "hint: check the path, or make the store: swamp datastore setup filesystem PATH" in done.err
    assert not (user / "none").exists()


def test_a_store_that_may_not_be_written(swamp: Swamp, user: Path) -> None:
    folder = user / "read-only"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):  # the superuser may write anywhere but into the kernel's own folders
        folder = Path("/sys")
    if not folder.is_dir():
        pytest.skip("the superuser has no read-only folder here")
    done = swamp("object", "put", "k", "--store", folder, "--json", stdin=b"x")
    assert done.code == 1
    assert done.error["code"] == "store-forbidden"


# --- status, namespaces, compact -------------------------------------------------------------------------------------


def test_status_of_all_and_of_one(swamp: Swamp, store: Path) -> None:
    fill(store, "one")
    fill(store, "two", 5)
    found = swamp("datastore", "status", "--json").document
    assert found["store"] == f"file://{store}"
    assert [(one["namespace"], one["log_depth"]) for one in found["namespaces"]] == [("one", 3), ("two", 5)]
    assert [
        one["namespace"] for one in swamp("datastore", "status", "--namespace", "two", "--json").document["namespaces"]
    ] == ["two"]
    shown = swamp("datastore", "status").out.splitlines()
    assert shown[0] == f"store file://{store} (by SWAMP_DATASTORE)"
    assert [line.split()[0] for line in shown[2:]] == ["NAMESPACE", "one", "two"]
    missing = swamp("datastore", "status", "--namespace", "three")
    assert missing.code == 1
    assert "no namespace 'three'" in missing.err


def test_compact_folds_every_namespace(swamp: Swamp, store: Path) -> None:
    fill(store, "one")
    fill(store, "two")
    done = swamp("datastore", "compact", "--json").document
    assert [(one["namespace"], one["fold"]["segments"]) for one in done["namespaces"]] == [("one", 3), ("two", 3)]
    assert done["failed"] == []
    states = swamp("datastore", "status", "--json").document["namespaces"]
    assert [(state["log_depth"], state["records"]) for state in states] == [(0, 3), (0, 3)]
    assert "nothing to do" in swamp("datastore", "compact", "--once", "--namespace", "one").out


def test_compact_goes_on_behind_a_damaged_namespace(swamp: Swamp, store: Path) -> None:
    fill(store, "bad")
    fill(store, "good")
    swamp("datastore", "compact", "--namespace", "bad")
    root = store / "bad" / "root"
    root.chmod(0o600)
    root.write_bytes(b"not a root")
    done = swamp("datastore", "compact", "--json")
    assert done.code == 1
    assert [one["namespace"] for one in done.document["namespaces"]] == ["good"]
    assert [one["namespace"] for one in done.document["failed"]] == ["bad"]
    assert done.error["code"] == "corrupt-object"


@pytest.mark.parametrize("arguments", [("--once", "--watch"), ("--interval", "0"), ("--interval", "nan")])
def test_compact_refuses_what_makes_no_sense(swamp: Swamp, store: Path, arguments: tuple[str, ...]) -> None:
    assert swamp("datastore", "compact", *arguments).code == 2


def test_a_namespace_is_deleted_only_with_yes(swamp: Swamp, store: Path) -> None:
    fill(store, "old")
    fill(store, "new")
    (store / "old" / "foreign.txt").write_text("not ours")
    preview = swamp("datastore", "namespace", "delete", "old")
    assert preview.code == 0
    assert preview.out.startswith("would delete 3 objects")
    assert swamp("datastore", "namespace", "list").out == "new\nold\n"
    done = swamp("datastore", "namespace", "delete", "old", "--yes", "--json").document
    assert (done["objects"], done["kept"], done["dry_run"]) == (3, 1, False)
    assert (store / "old" / "foreign.txt").exists()
    assert swamp("datastore", "namespace", "list", "--json").document["namespaces"] == ["new"]
    assert swamp("datastore", "namespace", "delete", "old").code == 1
    assert swamp("datastore", "namespace", "delete", "../new", "--yes").code == 2
