"""Small objects that stand for very much: each is refused by a process that may take 64 MB more than it has.

The same process without the guards shows that they are what keeps it small.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence

from tests.fuzz import bombs

ROOM = 64 << 20


def set_off(names: Sequence[str], how: str) -> dict[str, str]:
    """What became of each bomb in a process of its own."""
    made = bombs.make()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.bombs", str(ROOM), how],
        input=pickle.dumps({name: made[name] for name in names or made}),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return dict(line.rsplit(": ", 1) for line in done.stdout.decode().splitlines())


def test_every_bomb_is_refused_in_little_memory() -> None:
    outcomes = set_off((), "guarded")
    assert len(outcomes) == len(bombs.make())
    harmless = {"a segment of names", "audit data of empty lists"}  # a header at its limit; data that is shown as bytes
    assert {name for name, outcome in outcomes.items() if not outcome.endswith("refused")} <= harmless, outcomes
    assert "MemoryError" not in outcomes.values()


def test_without_the_guards_they_go_off() -> None:
    outcomes = set_off(bombs.GUARDS, "open")
    assert outcomes == dict.fromkeys(bombs.GUARDS, "MemoryError")
