"""The state that lies in a tree may come from anywhere: values of any type in its columns end in a typed error."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable

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


@pytest.mark.parametrize("seed", range(40))
def test_a_scrambled_state(machine: Callable[..., Machine], seed: int) -> None:
    a = machine("a")
    for name in ("one", "two", "d/three"):
        a.write(name, name)
    a.sync()
    a.compact()
    a.write("two", "changed", mtime=None)
    (state,) = (a.tree / STATE_FOLDER).glob("*.db")
    with sqlite3.connect(state) as db:
        scramble(db, random.Random(seed))
    for options in ({}, {"push": False}):
        try:
            a.sync(**options)  # type: ignore[arg-type]
        except SwampError:
            continue
    assert (a.tree / "one").read_bytes() == b"one"
