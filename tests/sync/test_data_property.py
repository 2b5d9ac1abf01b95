"""Delete stays deleted: three machines edit, delete, rename, make versions of data and sync at random, offline in between.

Folds, merges, gc and passing time lie in between. In the end all trees are equal, what was deleted is gone, what nobody
meant to lose is there, every move and copy was reported, and the client sees the versions that the trees hold.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from swampstore.env.blocking import run
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.lifetimes import expires_at, format_time
from swampstore.values.metadata import parse_metadata
from swampstore.workers.sync import SyncReport
from tests.sync.data_versions import api, metadata, never_synced
from tests.sync.machines import OLD, Machine

MACHINES = 3
KEYS = ("a", "b", "d/x", "d/y", "e/f/g")
ITEMS = ("data/aws/ec2/m1/report", "data/aws/ec2/m1/207333")
LIFETIMES = ("infinite", "infinite", "90y", "2h", "3d")
_VERSION = re.compile(r"(data/.*)/([0-9]+)/(raw|metadata\.yaml)")
HOUR_S = 3600.0


class World:
    """The machines, and for every content whether somebody who had it wrote or deleted over it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.env = FakeEnv(seed)
        store = MemoryStore(self.env)
        self.machines = [Machine(store, root / str(n), env=self.env) for n in range(MACHINES)]
        self.count = 0
        self.written: dict[bytes, str] = {}
        """Each content ever made, and the path it was made at."""
        self.given_up: set[bytes] = set()
        self.deleted: set[bytes] = set()
        self.edited: set[str] = set()
        self.ends: dict[bytes, int] = {}
        self.left_behind: dict[Path, str] = {}
        """Each ``latest`` of a version that was deleted before it was ever synced, and what it says."""
        self.reports: list[SyncReport] = []
        self.story: list[str] = []

    # --- what people do ---------------------------------------------------------------------------------------------

    def body(self, path: str, lifetime: str = "") -> bytes:
        self.count += 1
        data = f"content {self.count} ".encode() * (1 + self.count % 3 * 300)
        self.written[data] = path
        self.ends[data] = expires_at(lifetime, self.env.wall)
        return data

    def write(self, machine: Machine) -> None:
        key = self.dice.choice(KEYS)
        path = machine.tree / key
        if path.is_dir() or any(up.is_file() for up in path.parents if up != machine.tree):
            return
        if path.exists():
            self.given_up.add(path.read_bytes())
        machine.write(key, self.body(key), mtime=OLD + self.count)

    def delete(self, machine: Machine) -> None:
        key = self.some_file(machine)
        if key is not None:
            self.give_up(machine, key)
            machine.remove(key)

    def some_file(self, machine: Machine) -> str | None:
        keys = [key for key in machine.files() if not key.startswith("data/")]
        return self.dice.choice(keys) if keys else None

    def give_up(self, machine: Machine, key: str) -> None:
        data = (machine.tree / key).read_bytes()
        self.given_up.add(data)
        self.deleted.add(data)

    def rename(self, machine: Machine) -> None:
        """The old path loses the contents, the new one gets them: they may be seen under either, or both, elsewhere."""
        key = self.some_file(machine)
        new = f"moved/{self.count}"
        if key is not None and not (machine.tree / new).exists():
            target = machine.tree / new
            target.parent.mkdir(parents=True, exist_ok=True)
            (machine.tree / key).rename(target)
            self.count += 1

    def numbers(self, machine: Machine, item: str) -> list[int]:
        folders = (machine.tree / item).glob("*/metadata.yaml")
        return sorted(int(path.parent.name) for path in folders if path.parent.name.isdecimal())

    def version(self, machine: Machine) -> None:
        item = self.dice.choice(ITEMS)
        number = max(self.numbers(machine, item), default=0) + 1
        folder = f"{item}/{number}"
        if (machine.tree / folder / "raw").exists():
            return
        lifetime = self.dice.choice(LIFETIMES)
        raw = self.body(f"{folder}/raw", lifetime)
        fields = {"lifetime": lifetime, "createdAt": format_time(self.env.wall)}
        machine.write(f"{folder}/raw", raw, mtime=OLD + self.count)
        text = metadata(number, raw, item, **fields)
        machine.write(f"{folder}/metadata.yaml", text, mtime=OLD + self.count)
        if self.dice.random() < 0.7:
            machine.write(f"{item}/latest", str(number), mtime=OLD + self.count)

    def some_version(self, machine: Machine) -> tuple[str, int] | None:
        item = self.dice.choice(ITEMS)
        numbers = [n for n in self.numbers(machine, item) if (machine.tree / item / str(n) / "raw").exists()]
        return (item, self.dice.choice(numbers)) if numbers else None

    def delete_version(self, machine: Machine) -> None:
        found = self.some_version(machine)
        if found is None:
            return
        item, number = found
        latest = machine.tree / item / "latest"
        if latest.exists() and latest.read_text() == str(number) and never_synced(machine, f"{item}/{number}/raw"):
            self.left_behind[latest] = str(number)
        for path in sorted((machine.tree / item / str(number)).iterdir()):
            self.give_up(machine, path.relative_to(machine.tree).as_posix())
            path.unlink()
        path.parent.rmdir()

    def tag(self, machine: Machine) -> None:
        found = self.some_version(machine)
        if found is None:
            return
        self.count += 1
        key = f"{found[0]}/{found[1]}/metadata.yaml"
        text = re.sub(rb"(?m)^  run: .*$", b"  run: t%d" % self.count, (machine.tree / key).read_bytes())
        machine.write(key, text, mtime=OLD + self.count)
        self.edited.add(f"{found[0]}/{found[1]}")

    def put(self, machine: Machine) -> None:
        item = self.dice.choice(ITEMS)
        lifetime = self.dice.choice(LIFETIMES)
        body = self.body(f"{item}/?", lifetime)
        run(api(machine, item.rpartition("/")[2]).put(body, ordinal=False, lifetime=lifetime))

    def remove(self, machine: Machine) -> None:
        """Delete a version through the client."""
        item = api(machine, self.dice.choice(ITEMS).rpartition("/")[2])
        found = run(item.versions())
        if found:
            version = self.dice.choice(found)
            body = run(item.read(version.id, as_of=None))
            self.given_up.add(body)
            self.deleted.add(body)
            run(item.delete(version.id))

    # --- what machines do -------------------------------------------------------------------------------------------

    def sync(self, machine: Machine, before: Callable[[str, str], None] | None = None, **options: bool) -> SyncReport:
        report = machine.sync(before=before, **options)
        still = {path: path.read_text() for path in self.left_behind if path.exists()}
        self.left_behind = {path: said for path, said in still.items() if said == self.left_behind[path]}
        self.reports.append(report)
        return report

    def meet(self, first: Machine) -> None:
        """Another machine syncs in the middle of this one's sync, just before its append."""
        second = self.dice.choice([one for one in self.machines if one is not first])
        met: list[str] = []

        def before(verb: str, name: str) -> None:
            if verb == "put" and "/log/" in name and not met:
                met.append(name)
                self.sync(second)

        self.sync(first, before)

    def step(self) -> None:
        machine = self.dice.choice(self.machines)
        action = self.dice.choice(ACTIONS)
        self.story.append(f"{action.__name__} {machine.tree.name}")
        action(self, machine)

    def both_ways(self, machine: Machine) -> None:
        self.sync(machine)

    def push(self, machine: Machine) -> None:
        self.sync(machine, pull=False)

    def pull(self, machine: Machine) -> None:
        self.sync(machine, push=False)

    def fold(self, machine: Machine) -> None:
        machine.compact(full=False)

    def merge(self, machine: Machine) -> None:
        machine.compact()

    def wait(self, machine: Machine) -> None:
        self.env.advance(self.dice.choice((60.0, HOUR_S, 5 * HOUR_S, 80 * HOUR_S)))

    def populate(self) -> None:
        """Files and versions that all have from the beginning: what is changed here is deleted there."""
        machine = self.machines[0]
        for _ in range(self.dice.randrange(12)):
            self.dice.choice((World.write, World.version, World.put))(self, machine)
        for machine in (*self.machines, self.machines[0]):
            self.sync(machine)

    def settle(self) -> None:
        for _ in range(3):
            for machine in self.dice.sample(self.machines, MACHINES):
                self.sync(machine)
        self.machines[0].compact()
        for _ in range(2):
            for machine in self.machines:
                self.sync(machine)

    # --- what must hold ---------------------------------------------------------------------------------------------

    def expired(self, machine: Machine) -> set[str]:
        """Folders of versions in the tree that are past their lifetime."""
        found = set()
        for path in machine.tree.glob("data/**/metadata.yaml"):
            number = path.parent.name
            if number.isdecimal():
                said = parse_metadata(path.read_bytes(), "", version=int(number))
                end = expires_at(said.lifetime_text, said.created_ms or 0)
                if 0 < end <= self.env.wall:
                    found.add(path.parent.relative_to(machine.tree).as_posix())
        return found

    def files(self, machine: Machine) -> dict[str, bytes]:
        """What is to be equal: all but versions that ended before they were ever synced, and what follows from them."""
        past = self.expired(machine)
        return {
            key: data
            for key, data in machine.files().items()
            if not (_VERSION.fullmatch(key) and key.rpartition("/")[0] in past) and not key.endswith("/latest")
        }

    def check(self) -> None:
        first, *others = (self.files(machine) for machine in self.machines)
        for other in others:
            assert other == first, sorted(set(first.items()) ^ set(other.items()))
        for machine in self.machines:
            assert self.sync(machine).idle
            assert not any(report.skipped for report in self.reports[-3:])
        self.check_contents(first)
        self.check_whole(first)
        self.check_latest()
        self.check_expired()
        self.check_client(first)

    def check_contents(self, files: dict[str, bytes]) -> None:
        now = set(files.values())
        ended = {data for data in self.written if data not in now and self.has_ended(data)}
        lost = set(self.written) - now - self.given_up - ended
        assert not lost, f"lost: {[(data[:12], self.written[data]) for data in lost]}"
        told = {conflict.kept_as for report in self.reports for conflict in report.conflicts}
        for key, data in files.items():
            if ".conflict-" in key:
                assert key in told, f"{key} was not reported"
            found = _VERSION.fullmatch(key)
            made = self.written.get(data, "")
            if found and made.startswith("data/") and not made.endswith("/?") and made != key:
                assert key.rpartition("/")[0] in told, f"{made} became {key} and nobody said so"
        back = {data for data in self.deleted if data in now}
        revived = {path.rpartition("/")[0] for report in self.reports for path in report.revived}
        # Who deletes a version, makes its number anew and meets an edit of the deleted one is told that the edit won.
        won = {one.path for report in self.reports for one in report.conflicts if one.winner == "remote"}
        for key, data in files.items():
            if data in back and not key.startswith("moved/"):
                folder = key.rpartition("/")[0]
                assert folder in revived or {key, folder} & told or key in won, f"{key} came back and nobody said so"

    def has_ended(self, data: bytes) -> bool:
        return 0 < self.ends[data] <= self.env.wall

    def check_whole(self, files: dict[str, bytes]) -> None:
        """The two files of a version were never torn apart, and always fitted each other."""
        folders = [key.rpartition("/")[0] for key in files if _VERSION.fullmatch(key)]
        assert all(folders.count(folder) == 2 for folder in folders), sorted(folders)
        for report in self.reports:
            assert report.not_versions == []

    def check_latest(self) -> None:
        """It is right, but where a tool deleted a version that no sync had met, so that none touched its datum."""
        for machine in self.machines:
            for item in ITEMS:
                path = machine.tree / item / "latest"
                numbers = self.numbers(machine, item)
                if numbers and path.read_text() != self.left_behind.get(path):
                    assert path.read_text() == str(numbers[-1])

    def check_expired(self) -> None:
        """What has ended and was synced is in no tree; what was never synced lies where it was made."""
        kept = [folder for machine in self.machines for folder in self.expired(machine) if folder not in self.edited]
        bodies = [
            (machine.tree / folder / "raw").read_bytes()
            for machine in self.machines
            for folder in self.expired(machine)
            if folder not in self.edited and (machine.tree / folder / "raw").exists()
        ]
        assert len(bodies) == len(set(bodies)), kept

    def check_client(self, files: dict[str, bytes]) -> None:
        for item in ITEMS:
            data = api(self.machines[0], item.rpartition("/")[2])
            seen = {f"{item}/{v.ordinal}/raw": run(data.read(v.id, as_of=None)) for v in run(data.versions())}
            held = {key: files[key] for key in files if key.startswith(item + "/") and key.endswith("/raw")}
            held = {key: body for key, body in held.items() if key.replace("/raw", "/metadata.yaml") in files}
            assert seen == held

    # --- and then ---------------------------------------------------------------------------------------------------

    def stay_deleted(self) -> None:
        """All are in sync; one deletes. Whatever the others do meanwhile to other files, it stays deleted."""
        deleter, *others = self.dice.sample(self.machines, MACHINES)
        gone: set[str] = set()
        folders = {key.rpartition("/")[0] for key in self.files(deleter) if _VERSION.fullmatch(key)}
        for folder in sorted(folders):
            if self.dice.random() < 0.6:
                for path in sorted((deleter.tree / folder).iterdir()):
                    gone.add(path.relative_to(deleter.tree).as_posix())
                    path.unlink()
        for key in self.files(deleter):
            if not _VERSION.fullmatch(key) and self.dice.random() < 0.6:
                gone.add(key)
                deleter.remove(key)
        for number, machine in enumerate(others):
            machine.write(f"new/{number}", self.body(f"new/{number}"), mtime=OLD + self.count)
        self.sync(deleter)
        for _ in range(6):
            self.dice.choice((World.fold, World.merge, World.wait, World.both_ways))(
                self, self.dice.choice(self.machines)
            )
        self.settle()
        for machine in self.machines:
            back = gone & set(machine.files())
            assert not back, f"came back: {sorted(back)}"
            assert set(self.files(machine)) >= {"new/0", "new/1"}


ACTIONS = (
    *(World.write,) * 3,
    *(World.version,) * 3,
    *(World.delete,) * 2,
    *(World.delete_version,) * 3,
    *(World.tag,) * 3,
    *(World.both_ways,) * 3,
    *(World.rename, World.put, World.remove),
    *(World.push, World.pull, World.meet, World.fold, World.merge, World.wait),
)


def live(seed: int, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        world = World(Path(folder), seed)
        try:
            world.populate()
            for _ in range(steps):
                world.step()
            world.settle()
            world.check()
            world.stay_deleted()
        except BaseException:
            print(f"seed {seed}, {steps} steps: {', '.join(world.story)}")
            raise


@pytest.fixture(autouse=True)
def _lazy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here, and waiting for the disk is most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.mark.parametrize("part", range(4))
def test_trees_converge_and_deletions_stay(part: int) -> None:
    for seed in range(part * 15, part * 15 + 15):
        live(seed, 4 + seed % 17)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(20))
def test_trees_converge_and_deletions_stay_for_long(part: int) -> None:
    for seed in range(1000 + part * 100, 1100 + part * 100):
        live(seed, 4 + seed % 40)
