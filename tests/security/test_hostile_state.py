"""The state that lies in a tree may come from anywhere: values of any type in its columns end in a typed error."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from swampstore.errors import SwampError
from swampstore.workers.sync.options import STATE_FOLDER
from tests.sync.conftest import machine
from tests.sync.machines import Machine

__all__ = ["machine"]
VALUES = [
    None,
    0,
    -1,
    1 << 62,
    1.5,
    "",
    "text",
    "../x",
    "\0",
    b"",
    b"\xff" * 24,
    b"\x00" * 24,
    b"\x91" * 2000,
    "x" * 3000,
]
TABLES = ("files", "remote", "kept", "loose", "marks", "meta")


def scramble(db: sqlite3.Connection, dice: random.Random) -> None:
    """Change some values, and turn a row into another."""
    for _ in range(dice.choice((1, 1, 3))):
        table = dice.choice(TABLES)
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        try:
            db.execute(f"UPDATE {table} SET {dice.choice(columns)} = ?", (dice.choice(VALUES),))
        except sqlite3.IntegrityError:  # two rows would have one key, or a column may not be empty
            continue


def synced(machine: Callable[..., Machine]) -> tuple[Machine, Path]:
    """A tree with something to do in both directions, and its state; a file is on its way into it."""
    a, b = machine("a"), machine("b")
    for name in ("one", "two", "d/three"):
        a.write(name, name)
    a.sync()
    a.compact()
    b.write("four", "four")
    b.sync()
    a.write("two", "changed", mtime=None)
    a.write("four", "made here", mtime=None)
    (state,) = (a.tree / STATE_FOLDER).glob("*.db")
    row = ("coming:four\0" + (b"\0" * 23 + b"\1").hex(), bytes(8) + bytes(32))
    with sqlite3.connect(state) as db:
        db.execute("INSERT INTO meta VALUES (?, ?)", row)
    return a, state


def used(a: Machine) -> None:
    for options in ({}, {"push": False}):
        try:
            a.sync(**options)  # type: ignore[arg-type]
        except SwampError:
            continue
    assert (a.tree / "one").read_bytes() == b"one"


@pytest.mark.parametrize("seed", range(40))
def test_a_scrambled_state(machine: Callable[..., Machine], seed: int) -> None:
    a, state = synced(machine)
    with sqlite3.connect(state) as db:
        scramble(db, random.Random(seed))
    used(a)


COMING = "UPDATE meta SET {} = ? WHERE name LIKE 'coming:%'"


@pytest.mark.parametrize("column", ["name", "value"])
@pytest.mark.parametrize("value", [*VALUES, "coming:four\0zz", "coming:four\0", "coming:four\0" + "ab" * 24])
def test_what_is_on_its_way_may_be_anything(machine: Callable[..., Machine], column: str, value: object) -> None:
    a, state = synced(machine)
    with sqlite3.connect(state) as db, suppress(sqlite3.IntegrityError):  # a name may not be NULL
        db.execute(COMING.format(column), (value,))
    used(a)


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("table", TABLES)
def test_any_value_in_any_column(machine: Callable[..., Machine], table: str, tmp_path: Path) -> None:
    a, state = synced(machine)
    kept, tree = (
        state.read_bytes(),
        {path: path.read_bytes() for path in a.tree.rglob("*") if path.suffix == "" and path.is_file()},
    )
    with sqlite3.connect(state) as db:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    for column in columns:
        for value in VALUES:
            for path in a.tree.rglob("*.db*"):
                path.unlink()
            for path, body in tree.items():
                path.write_bytes(body)
            state.write_bytes(kept)
            with sqlite3.connect(state) as db, suppress(sqlite3.IntegrityError):
                db.execute(f"UPDATE {table} SET {column} = ?", (value,))
            used(a)
