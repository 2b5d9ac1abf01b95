"""Commands whose input, output or messages the caller has closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import swampstore


def closed(what: str, *line: str) -> subprocess.CompletedProcess[str]:
    """``swamp LINE`` with descriptors closed by a shell, such as ``<&- 2>&-``."""
    command = ["sh", "-c", f'exec "$@" {what}', "sh", sys.executable, "-m", "swampstore_cli", *line]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_printed_to_nowhere_changes_no_ending(store: Path) -> None:
    """A record that was written, and told to have failed, would be written twice."""
    assert closed("<&- >&- 2>&-", "audit", "append", "d", "--text", "y").returncode == 0
    with swampstore.open(str(store)) as opened:
        assert [one.data for one in opened.namespace("default").audit("d").read()] == ["y"]


@pytest.mark.parametrize(
    ("file", "code", "says"),
    [
        ((), 2, "standard input is closed"),
        pytest.param(("/dev/stdin",), 1, "/dev/stdin", marks=pytest.mark.prove),
    ],
)
def test_a_closed_input_is_no_empty_value(store: Path, file: tuple[str, ...], code: int, says: str) -> None:
    done = closed("<&-", "object", "put", "k", *file)
    assert (done.returncode, says in done.stderr, "defect" in done.stderr) == (code, True, False)
    with swampstore.open(str(store)) as opened:
        assert opened.namespace("default").get("k") is None
