"""``swamp datastore sync`` beyond the plain one: parts, contents on demand, several namespaces, following."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swampstore_cli import nearby
from tests.cli.conftest import Swamp
from tests.cli.test_sync import write

META = "version: {0}\nname: state\n"


@pytest.fixture
def other(user: Path, store: Path) -> Path:
    """A second repo."""
    (user / "other").mkdir()
    return user / "other"


def files(repo: Path) -> set[str]:
    tree = repo / ".swamp"
    found = (path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if ".swampstore" not in path.parts}


def with_data(repo: Path) -> None:
    for model in ("web-1", "web-10"):
        for number in (1, 2):
            folder = f"data/aws/ec2/{model}/state/{number}"
            write(repo, f"{folder}/metadata.yaml", META.format(number))
            write(repo, f"{folder}/raw", f"{model} {number}" * 1000)
    write(repo, "reports/a", "a")


def test_only_a_model(swamp: Swamp, repo: Path, other: Path) -> None:
    with_data(repo)
    swamp("datastore", "sync")
    for form in ("aws/ec2:web-1", "aws/ec2/web-1"):
        done = swamp("datastore", "sync", "--model", form, "--repo-dir", other, "--json")
        assert done.code == 0, done.err
    assert {name.split("/")[3] for name in files(other)} == {"web-1"}
    (other / ".swamp/data/aws/ec2/web-1/state/1/raw").unlink()
    document = swamp("datastore", "sync", "--model", "aws/ec2:web-10", "--repo-dir", other, "--json").document
    assert (document["deleted_remote"], document["pulled"]) == (0, 4)
    assert swamp("datastore", "sync", "--model", "nonsense").code == 2


def test_metadata_only_and_hydrate(swamp: Swamp, repo: Path, other: Path) -> None:
    with_data(repo)
    swamp("datastore", "sync")
    done = swamp("datastore", "sync", "--metadata-only", "--repo-dir", other)
    assert "4 contents left in the namespace: swamp datastore hydrate PATH brings them" in done.out
    assert not any(name.endswith("/raw") for name in files(other))
    done = swamp("datastore", "hydrate", "data/aws/ec2/web-1", "--dry-run", "--repo-dir", other)
    assert "2 changes: 2 pull" in done.out
    swamp("datastore", "hydrate", "data/aws/ec2/web-1", "--repo-dir", other)
    assert {name.split("/")[3] for name in files(other) if name.endswith("/raw")} == {"web-1"}
    missing = swamp("datastore", "hydrate", "nowhere", "--json", "--repo-dir", other)
    assert (missing.code, missing.error["code"]) == (1, "not-found")
    swamp("datastore", "sync", "--repo-dir", other)
    assert files(other) == files(repo)


def test_contents_are_read_from_the_folder_while_it_is_current(
    swamp: Swamp, repo: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repo, "a", "contents" * 2000)
    swamp("datastore", "sync")
    opened: list[bool] = []
    real = nearby.local_chunks

    def watched(*args: object) -> object:
        found = real(*args)  # type: ignore[arg-type]
        opened.append(found is not None)
        return found

    monkeypatch.setattr(nearby, "local_chunks", watched)
    assert swamp("object", "get", "a").out == "contents" * 2000
    (repo / ".swamp/a").write_text("edited")
    assert swamp("object", "get", "a").out == "contents" * 2000
    assert opened == [True, False]
    assert swamp("object", "get", "b").code == 1


def test_a_dry_run_before_there_is_a_folder(swamp: Swamp, repo: Path, other: Path) -> None:
    write(repo, "a", "1")
    swamp("datastore", "sync")
    done = swamp("datastore", "sync", "--dry-run", "--repo-dir", other)
    assert (done.code, done.out) == (
        0,
        "action  size  path\npull     1 B  a\n1 change: 1 pull (1 B); nothing was done (dry run)\n",
    )
    assert not (other / ".swamp").exists()


def test_several_namespaces_lie_in_folders_of_their_own(swamp: Swamp, repo: Path, other: Path) -> None:
    write(repo, "mine", "default's")
    swamp("datastore", "sync")
    for name in ("ops", "build"):
        swamp("object", "put", f"from/{name}", "-", "--namespace", name, stdin=name.encode())
    done = swamp("datastore", "sync", "--namespace", "ops", "--namespace", "build", "--repo-dir", other, "--json")
    assert {one["namespace"]: one["pulled"] for one in done.document["namespaces"]} == {"ops": 1, "build": 1}
    assert files(other) == {"ops/from/ops", "build/from/build"}
    done = swamp("datastore", "sync", "--all-namespaces", "--repo-dir", other)
    assert done.out.count("pulled 1") == 1
    assert files(other) == {"ops/from/ops", "build/from/build", "mine"}
    write(other, "ops/new", "n")
    write(other, "own", "o")
    swamp("datastore", "sync", "--repo-dir", other)  # the repo's own alone leaves the others' folders
    assert swamp("object", "list").out.split() == ["mine", "own"]
    swamp("datastore", "sync", "--namespace", "ops", "--repo-dir", other)
    assert swamp("object", "list", "--namespace", "ops").out.split() == ["from/ops", "new"]
    assert swamp("datastore", "sync", "--all-namespaces", "--namespace", "ops").code == 2


def test_flags_that_exclude_each_other(swamp: Swamp, repo: Path, store: Path) -> None:
    assert swamp("datastore", "sync", "--watch", "--dry-run").code == 2
    assert swamp("datastore", "sync", "--limit-rate", "fast").code == 2


def test_watch_follows_both_ways_and_ends_cleanly(swamp: Swamp, repo: Path, other: Path, store: Path) -> None:
    write(repo, "before", "1")
    command = [sys.executable, "-m", "swampstore_cli", "datastore", "sync", "--watch", "--json"]
    process = subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    try:
        wait_for(lambda: "before" in swamp("object", "list").out)
        write(repo, "mine", "2")
        swamp("object", "put", "theirs", "-", stdin=b"3")
        wait_for(lambda: (repo / ".swamp/theirs").exists() and "mine" in swamp("object", "list").out)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert b"stopped" in err
    assert sum(json.loads(line)["pushed"] for line in out.splitlines()) == 2


def wait_for(done: object) -> None:
    deadline = time.monotonic() + 100
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.1)
