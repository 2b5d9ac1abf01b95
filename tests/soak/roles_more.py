"""What the processes of a soak do with queues, versions and trees; and those that look after the namespaces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from swampstore import Model
from swampstore.errors import NotFound
from swampstore.workers.sync.options import STATE_FOLDER
from tests.soak.desk import TREES, Desk, contents, number_in
from tests.soak.ledger import Cells
from tests.soak.roles import auditor, follower, locker, poller, pusher, reader, updater, writer

MODEL = Model("soak", "one")
KEEP = 8
FILES = 20
REMOVE_EVERY = 6
CAPACITY = 2
CONFLICT = ".conflict-"


# --- queues -----------------------------------------------------------------------------------------------------------


def queuer(desk: Desk) -> None:
    """Takes places in a queue; on a disk, where the kernel knows who is alive, never more hold one than there is room."""
    held = desk.cells("places", max(len(desk.many("queuer")), 1))
    on_disk = desk.setting.url.startswith("/")
    while desk.working():
        with (
            desk.doing("queue"),
            desk.ns.queue("pool", CAPACITY).acquire(deadline=20.0, purpose=desk.name),
        ):
            held.settle(desk.index, os.getpid())
            try:
                if on_disk:
                    desk.require(_holders(desk, held) <= CAPACITY, "more hold a place than the queue has")
                time.sleep(desk.dice.random() * 0.2)
            finally:
                held.settle(desk.index, 0)


def _holders(desk: Desk, held: Cells) -> int:
    """How many hold a place; those that are just dying are given time."""
    for _ in range(20):
        alive = sum(_alive(held.sure(part)) for part in desk.many("queuer"))
        if alive <= CAPACITY:
            break
        time.sleep(0.05)
    return alive


def _alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


# --- versions ---------------------------------------------------------------------------------------------------------


def versioner(desk: Desk) -> None:
    """Versions of a datum of its own, of which the newest few are kept."""
    cells, name = desk.cells(f"versioner-{desk.index}", 1), f"report-{desk.index}"
    item = desk.ns.data(MODEL, name)
    while desk.working():
        number = cells.say(0)
        size = 6_000 if number % 5 == 0 else 60
        with desk.doing("version") as deed:
            item.put(contents(name, number, size), keep=KEEP, ordinal=desk.dice.random() < 0.1)
        if deed.ok:
            cells.settle(0, number)
        if desk.dice.random() < 0.3:
            check_versions(desk, desk.any("versioner"))


def check_versions(desk: Desk, part: int) -> None:
    cells, name = desk.cells(f"versioner-{part}", 1), f"report-{part}"
    item = desk.ns.data(MODEL, name)
    sure, found = cells.sure(0), b""
    with desk.doing("read version") as deed:
        try:
            found = item.read()
        except NotFound:
            found = b""
    if deed.ok:
        said, number = cells.said(0), number_in(found) if found else 0
        desk.require(sure <= number <= said, f"{name} is at {number}; {sure} was acknowledged, {said} tried")
    with desk.doing("versions") as deed:
        listed = item.versions()
    if deed.ok:
        ordinals = [version.ordinal for version in listed if version.ordinal is not None]
        desk.require(len(set(ordinals)) == len(ordinals), f"two versions of {name} have one number")
        desk.require(len({version.id for version in listed}) == len(listed), f"{name} holds a version twice")


# --- trees ------------------------------------------------------------------------------------------------------------


def tree_of(desk: Desk, part: int) -> Path:
    tree = desk.setting.folder / f"tree-{part}"
    tree.mkdir(exist_ok=True)
    return tree


def path_of(part: int, number: int) -> str:
    return f"f{part}/{number % 3}/{number}.txt"


def syncer(desk: Desk) -> None:
    """Changes files in a tree of its own and syncs it; now and then it syncs that of another, at the same time as that one."""
    cells, tree = desk.cells(f"syncer-{desk.index}", FILES), tree_of(desk, desk.index)
    held = desk.store.namespace(TREES)
    while desk.working():
        for number in desk.dice.sample(range(FILES), desk.dice.randint(1, 3)):
            _change(desk, cells, tree, number)
        other = desk.any("syncer") if desk.dice.random() < 0.2 else desk.index
        with desk.doing("sync"):
            held.sync(tree_of(desk, other))
        for part in desk.many("syncer"):
            if part != desk.index:
                check_files(desk, tree, part, settled=False)


def _change(desk: Desk, cells: Cells, tree: Path, number: int) -> None:
    name = path_of(desk.index, number)
    path = tree / name
    count = cells.say(number)
    if count % REMOVE_EVERY == 0:
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = desk.setting.folder / f"{desk.name}.part"  # a tree never holds half a file of an editor's
        fresh.write_bytes(contents(name, count, 5_000 if number % 4 == 0 else 50))
        fresh.replace(path)
    cells.settle(number, count)


def check_files(desk: Desk, tree: Path, part: int, *, settled: bool) -> None:
    """The files of ``part`` in ``tree``: whole, and none newer than it said; once all rests, what was said last."""
    cells = desk.cells(f"syncer-{part}", FILES)
    for number in range(FILES):
        name = path_of(part, number)
        try:
            found: bytes | None = (tree / name).read_bytes()
        except FileNotFoundError:
            found = None
        sure, said = cells.sure(number), cells.said(number)
        if found is not None:
            count = number_in(found)
            desk.require(count <= said, f"{tree.name}/{name} is {count}, {said} was said")
            desk.require(
                found == contents(name, count, 5_000 if number % 4 == 0 else 50), f"{tree.name}/{name} is not whole"
            )
            last = {count, *_beside(desk, tree, name)} & {sure, said}
            desk.require(not settled or bool(last), f"{tree.name}/{name} rests at {count}, not at {sure}")
        elif settled:
            gone = sure == 0 or sure % REMOVE_EVERY == 0 or said % REMOVE_EVERY == 0
            desk.require(gone, f"{tree.name}/{name} is lost; it was written {sure} times")


def _beside(desk: Desk, tree: Path, name: str) -> list[int]:
    """What lies beside a file as conflict copies: two who sync one tree may have read it before and after a change."""
    held = [(path, path.read_bytes()) for path in (tree / name).parent.glob(f"{Path(name).name}{CONFLICT}*")]
    for path, data in held:
        whole = data in (contents(name, number_in(data), size) for size in (50, 5_000))
        desk.require(whole, f"{path.name} in {tree.name} is not whole")
    return [number_in(data) for _, data in held]


def check_nothing_else(desk: Desk, tree: Path) -> None:
    known = {path_of(part, number) for part in desk.many("syncer") for number in range(FILES)}
    held = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    strange = {
        name
        for name in held - known
        if name.partition(CONFLICT)[0] not in known and STATE_FOLDER not in name.split("/")
    }
    desk.require(not strange, f"{tree.name} holds what nobody made: {sorted(strange)[:3]}")


# --- those that look after it -----------------------------------------------------------------------------------------


def compactor(desk: Desk) -> None:
    while desk.working():
        with desk.doing("compact"):
            desk.ns.compact(full=desk.dice.random() < 0.2)
        with desk.doing("compact"):
            desk.store.namespace(TREES).compact(full=desk.dice.random() < 0.2)
        time.sleep(1.0)


def tidier(desk: Desk) -> None:
    """gc, prune, snapshots and examinations."""
    while desk.working():
        roll = desk.dice.random()
        if roll < 0.3:
            with desk.doing("gc"):
                desk.ns.gc(dry_run=False)
        elif roll < 0.4:
            with desk.doing("prune"):
                desk.ns.prune(dry_run=False)
        elif roll < 0.6:
            with desk.doing("doctor"):
                report = desk.ns.doctor(guards=False)
                desk.require(report.healthy, f"doctor finds {report.of('error')}")
        elif roll < 0.8:
            with desk.doing("pinned scan"), desk.ns.snapshot(pin=True) as pinned:
                before = [entry.key for entry in pinned.scan("a/")]
                time.sleep(desk.dice.random())
                desk.require([entry.key for entry in pinned.scan("a/")] == before, "a pinned snapshot has changed")
        else:
            _saved(desk)
        time.sleep(1.0)


def _saved(desk: Desk) -> None:
    held = [saved.name for saved in desk.ns.saved()]
    with desk.doing("save"):
        if len(held) > 2:
            desk.ns.delete_saved(held[0])
        else:
            desk.ns.save(f"s{time.monotonic_ns()}")


ROLES: dict[str, tuple[int, Callable[[Desk], None]]] = {
    "writer": (3, writer), "reader": (2, reader), "updater": (2, updater), "locker": (2, locker), "pusher": (2, pusher),
    "follower": (1, follower), "auditor": (2, auditor), "poller": (2, poller), "queuer": (4, queuer),
    "versioner": (2, versioner), "syncer": (2, syncer), "compactor": (2, compactor), "tidier": (1, tidier),
}  # fmt: skip
"""Who takes part, and how many of each. The first of each lives through the whole run."""
