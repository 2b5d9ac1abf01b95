"""Walking a directory as a store: order, any starting point, and large folders that change under a remembered page."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.stores import walk as walk_module
from swampstore.stores.local import LocalStore
from swampstore.stores.walk import Walker

PARTS = ["a", "a-b", "a0", "b", "ä", "\U0001f600", "z.txt", "aa"]


@pytest.fixture(params=["read again", "remembered"])
def remembering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether folders of any size are remembered at once, however young."""
    if request.param == "remembered":
        monkeypatch.setattr(walk_module, "REMEMBERED_NAMES_MIN", 0)
        monkeypatch.setattr(walk_module, "SETTLED_NS", -(10**18))
    return request.param == "remembered"


def names(walker: Walker, prefix: str = "", start_after: str = "") -> list[str]:
    return [info.name for info in walker.walk(prefix, start_after)]


def build(root: Path, seed: int) -> set[str]:
    dice = random.Random(seed)
    made: set[str] = set()
    for _ in range(60):
        name = "/".join(dice.choices(PARTS, k=dice.randint(1, 3)))
        path = root / name
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            made.add(name)
    return made


@pytest.mark.parametrize("seed", range(8))
def test_every_prefix_and_start_gives_what_sorting_gives(tmp_path: Path, seed: int, remembering: bool) -> None:
    made = sorted(build(tmp_path, seed), key=str.encode)
    walker = Walker(str(tmp_path), ".tmp")
    points = [
        "",
        *made,
        *(f"{name}!" for name in made),
        *(name.rpartition("/")[0] for name in made),
        "a/",
        "b",
        "zz",
        "\0",
    ]
    for prefix in {"", "a", "a/", "a/a", "aa/b", "b/a-b/", "nope", "z.txt/", *made[:5]}:
        for start in points:
            expected = [name for name in made if name.startswith(prefix) and name > start]
            assert names(walker, prefix, start) == expected, (prefix, start)


def test_links_hidden_and_unreadable_names_are_passed_over(tmp_path: Path, remembering: bool) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"1")
    (tmp_path / "link").symlink_to("d")
    (tmp_path / "d" / "link").symlink_to("f")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".tmp").mkdir()
    (tmp_path / ".tmp" / "x").write_bytes(b"")
    (tmp_path / "d" / ".tmp").write_bytes(b"")
    with open(os.fsencode(tmp_path) + b"/d/\xff", "wb"):
        pass
    walker = Walker(str(tmp_path), ".tmp")
    for _ in range(2):
        assert names(walker) == ["d/.tmp", "d/f"]
        assert names(walker, ".tmp/") == []
        assert names(walker, "d/f/") == []


def let_clock_move(folder: Path, scratch: Path) -> None:
    """Wait until the file system's clock has left the step in which ``folder`` was changed last."""
    while not scratch.exists() or scratch.stat().st_ctime_ns <= folder.stat().st_ctime_ns:
        scratch.write_bytes(b"")


def test_what_changes_in_a_remembered_folder_is_seen(tmp_path: Path, remembering: bool) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(20):
        (root / f"{number:02}").write_bytes(b"x")
    walker = Walker(str(root), ".tmp")
    assert len(names(walker)) == 20
    let_clock_move(root, tmp_path / "scratch")
    (root / "05").unlink()
    (root / "20").write_bytes(b"x")
    (root / "06").write_bytes(b"longer")
    found = {info.name: info.size for info in walker.walk("", "")}
    assert len(found) == 20
    assert (found["20"], found["06"], "05" in found) == (1, 6, False)
    let_clock_move(root, tmp_path / "scratch")
    (root / "07").unlink()
    (root / "07").mkdir()
    (root / "07" / "in").write_bytes(b"")
    assert "07/in" in names(walker)


def test_a_young_folder_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes in one step of the file system's clock have one time: what was read between them must not count."""
    monkeypatch.setattr(walk_module, "REMEMBERED_NAMES_MIN", 0)
    (tmp_path / "a").write_bytes(b"")
    state = (1, 1, 1, 1)
    monkeypatch.setattr(Walker, "_state", lambda self, path: (walk_module.time.time_ns(), *state) if young else state)
    walker = Walker(str(tmp_path), ".tmp")
    young = True
    assert names(walker) == ["a"]
    assert walker._remembered == {}
    young = False
    assert names(walker) == ["a"]
    assert list(walker._remembered) == [""]


def test_remembered_names_are_bounded(tmp_path: Path, remembering: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "REMEMBERED_NAMES_MAX", 25)
    for folder in range(4):
        (tmp_path / str(folder)).mkdir()
        for number in range(10):
            (tmp_path / str(folder) / str(number)).write_bytes(b"")
    walker = Walker(str(tmp_path), ".tmp")
    assert len(names(walker)) == 40
    assert sum(len(held) for _, held in walker._remembered.values()) <= 25
    assert len(names(walker)) == 40


def test_pages_of_a_large_folder_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "SETTLED_NS", -(10**18))
    for number in range(3000):
        (tmp_path / f"{number:04}").write_bytes(b"")
    store = LocalStore(tmp_path)
    reads: list[str] = []
    read = walk_module._read
    monkeypatch.setattr(walk_module, "_read", lambda folder: reads.append(folder) or read(folder))
    found: list[str] = []
    more = True
    while more:
        page = run(store.list("", start_after=found[-1] if found else "", limit=100))
        found += [info.name for info in page.items]
        more = page.more
    assert found == [f"{number:04}" for number in range(3000)]
    assert len(reads) == 1
