"""What must hold of a namespace whose processes were killed: its whole history, versions, audit records and trees."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from swampstore.workers.sync.options import STATE_FOLDER, TEMP_PREFIX
from tests.histories.checks import check_all
from tests.histories.record import Op
from tests.processes.actors import contents, told


def check_history(ops: Sequence[Op]) -> list[str]:
    """Everything that reads have told, against everything that was done."""
    return check_all(ops) + check_versions(ops) + check_audit(ops)


def check_versions(ops: Sequence[Op]) -> list[str]:
    """Every acknowledged version is there, with its own contents and one ordinal that never changes."""
    wrong: list[str] = []
    puts = [op for op in ops if op.kind == "version"]
    acked = {op.gave[0]: op for op in puts if op.ok}
    said = {op.about["said"]: op for op in puts}
    ordinals: dict[str, int] = {op.gave[0]: op.gave[1] for op in acked.values() if op.gave[1] is not None}
    for read in (op for op in ops if op.kind == "versions" and op.ok):
        wrong += [
            f"version {one} is missing" for one, op in acked.items() if op.end < read.begin and one not in read.gave
        ]
        numbers = [ordinal for ordinal, _, _ in read.gave.values() if ordinal is not None]
        if len(set(numbers)) != len(numbers):
            wrong.append(f"two versions have one ordinal: {sorted(numbers)}")
        for one, (ordinal, size, sha) in read.gave.items():
            put = said.get(f"{size}-{sha}")
            if put is None or put.begin > read.end:
                wrong.append(f"version {one} was never put")
            elif one in acked and acked[one] is not put:
                wrong.append(f"version {one} has the contents of another")
            if ordinal is not None and ordinals.setdefault(one, ordinal) != ordinal:
                wrong.append(f"version {one} was {ordinals[one]} and is {ordinal}")
        found = [f"{size}-{sha}" for _, size, sha in read.gave.values()]
        if len(set(found)) != len(found):
            wrong.append("one put is there as two versions")
    return wrong


def check_audit(ops: Sequence[Op]) -> list[str]:
    """Every acknowledged record is read, each once."""
    wrong: list[str] = []
    writes = {op.about["n"]: op for op in ops if op.kind == "audit"}
    for read in (op for op in ops if op.kind == "audited" and op.ok):
        if len(set(read.gave)) != len(read.gave):
            wrong.append("an audit record was read twice")
        wrong += [f"audit record {n} was never written" for n in read.gave if n not in writes]
        wrong += [
            f"audit record {n} is missing"
            for n, op in writes.items()
            if op.ok and op.end < read.begin and n not in read.gave
        ]
    return wrong


def check_trees(ops: Sequence[Op], trees: Sequence[Path]) -> list[str]:
    """Trees that were synced to rest are alike, hold every file that was not removed, and nothing else."""
    wrong: list[str] = []
    held = [_files(tree) for tree in trees]
    wrong += [f"the trees differ: {sorted(set(a) ^ set(b))[:5]}" for a, b in itertools.pairwise(held) if a != b]
    made = {op.about["path"]: op for op in ops if op.kind == "file"}
    removed = {op.about["path"] for op in ops if op.kind == "unfile"}
    for path, op in made.items():
        if op.ok and path not in removed and path not in held[0]:
            wrong.append(f"file {path} is lost")
    for path, data in held[0].items():
        if path not in made:
            wrong.append(f"file {path} was made by nobody")
        elif told(data) != told(contents(f"a/p/{Path(path).name}")):
            wrong.append(f"file {path} has other contents")
    return wrong


def _files(tree: Path) -> dict[str, bytes]:
    """What lies in a tree, sync's own state apart (temporary files are not: none may be left)."""
    found = {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}
    assert not [name for name in found if Path(name).name.startswith(TEMP_PREFIX)], "sync left a temporary file"
    return {name: path.read_bytes() for name, path in found.items() if STATE_FOLDER not in name.split("/")}
