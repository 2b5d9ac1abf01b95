"""``swamp datastore sync`` between repos that share a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Swamp


def write(repo: Path, name: str, text: str) -> None:
    path = repo / ".swamp" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def other(user: Path, store: Path) -> Path:
    """A second repo."""
    (user / "other").mkdir()
    return user / "other"


def test_both_ways(swamp: Swamp, repo: Path, other: Path) -> None:
    write(repo, "a/1", "one")
    write(other, "b/2", "two")
    assert swamp("datastore", "sync").out.startswith("pushed 1 (3 B), pulled 0 ")
    done = swamp("datastore", "sync", "--repo-dir", other, "--json").document
    assert (done["pushed"], done["pulled"], done["tree"]) == (1, 1, str(other / ".swamp"))
    assert (other / ".swamp/a/1").read_text() == "one"
    assert swamp("datastore", "sync").out.startswith("pushed 0 (0 B), pulled 1 ")
    assert swamp("datastore", "sync").out.startswith("nothing to do: 2 files unchanged")


def test_one_way(swamp: Swamp, repo: Path, other: Path) -> None:
    write(repo, "mine", "1")
    write(other, "theirs", "2")
    swamp("datastore", "sync", "--repo-dir", other)
    pushed = swamp("datastore", "sync", "--push", "--json").document
    assert (pushed["pushed"], pushed["pulled"]) == (1, 0)
    pulled = swamp("datastore", "sync", "--pull", "--json").document
    assert (pulled["pushed"], pulled["pulled"]) == (0, 1)


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_pull_of_a_namespace_that_does_not_exist(swamp: Swamp, repo: Path, store: Path, dry: list[str]) -> None:
    (repo / ".swamp").mkdir(exist_ok=True)
    done = swamp("datastore", "sync", "--pull", "--namespace", "opps", "--json", *dry)
    assert (done.code, done.error["code"]) == (1, "not-found")
    assert "no namespace 'opps'" in done.error["error"]
    swamp("object", "put", "x", "--namespace", "ops", stdin=b"x")
    done = swamp("datastore", "sync", "--pull", "--namespace", "opps", *dry)
    assert done.code == 1
    assert "there are: ops" in done.err
    assert swamp("datastore", "sync", "--pull", "--namespace", "ops", *dry).code == 0
    both = swamp("datastore", "sync", "--namespace", "opps", "--json", *dry)
    assert (both.code, both.document["absent"]) == (0, True)


def test_a_dry_run_says_what_and_does_nothing(swamp: Swamp, repo: Path, store: Path) -> None:
    write(repo, "a", "1")
    done = swamp("datastore", "sync", "--dry-run")
    assert done.out == "action  size  path\npush     1 B  a\n1 change: 1 push (1 B); nothing was done (dry run)\n"
    assert swamp("object", "list").out == ""


def test_prefix_directories_and_exclude(swamp: Swamp, repo: Path, store: Path) -> None:
    (repo / ".swamp.yaml").write_text("datastore:\n  directories: [data, reports]\n  exclude: ['*.tmp']\n")
    for name in ("data/a", "data/b.tmp", "reports/c", "other/d"):
        write(repo, name, name)
    assert swamp("datastore", "sync", "--prefix", "reports/", "--json").document["pushed"] == 1
    assert swamp("datastore", "sync", "--json").document["pushed"] == 1
    assert swamp("object", "list").out.split() == ["data/a", "reports/c"]


def test_a_conflict_is_reported_and_both_are_kept(swamp: Swamp, repo: Path, other: Path) -> None:
    write(repo, "a", "first")
    swamp("datastore", "sync")
    swamp("datastore", "sync", "--repo-dir", other)
    write(repo, "a", "mine, longer")
    write(other, "a", "theirs, longest")
    swamp("datastore", "sync", "--repo-dir", other)
    done = swamp("datastore", "sync")
    assert "conflict: a: kept the " in done.out
    texts = {path.read_text() for path in (repo / ".swamp").iterdir() if path.is_file()}
    assert texts == {"mine, longer", "theirs, longest"}


def test_a_link_out_of_the_tree_is_skipped_and_said_so(swamp: Swamp, repo: Path, user: Path, store: Path) -> None:
    write(repo, "a", "1")
    (repo / ".swamp" / "link").symlink_to(user / "home")
    done = swamp("datastore", "sync")
    assert done.code == 0
    assert done.err.startswith("skipped: link: ")
    assert done.out.startswith("pushed 1 ")


def test_a_store_inside_the_tree_is_refused(swamp: Swamp, repo: Path) -> None:
    (repo / ".swamp" / "store").mkdir(parents=True)
    done = swamp("datastore", "sync", "--store", repo / ".swamp" / "store")
    assert done.code == 2
    assert "lie in one another" in done.err
