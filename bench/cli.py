"""The installed command, as a user calls it."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.children import JobFailed


def swamp() -> list[str]:
    """How to call the ``swamp`` of this environment. Raises ``JobFailed`` if it is not installed."""
    program = Path(sys.executable).parent / "swamp"
    if not program.exists():
        raise JobFailed("the swamp command is not installed: run `make bench`")
    return [str(program)]
