"""Before something is destroyed: show it, then ask, or wait for ``--yes``.

Invariants: without ``--yes`` nothing is destroyed unless a person at a terminal says yes; ``--json`` never asks.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import output

YES = Annotated[
    bool,
    typer.Option("--yes", "-y", "--force", "-f", help="Do it; without, show what would go (and ask at a terminal)."),
]
DRY_RUN = Annotated[bool, typer.Option("--dry-run", help="Only show what would go, and do not ask.")]


def check(*, yes: bool, dry_run: bool) -> None:
    """Raise ``Misuse`` when both are said."""
    if yes and dry_run:
        raise Misuse("--yes and --dry-run exclude each other")


def confirmed(question: str, *, yes: bool, dry_run: bool, json: bool) -> bool:
    """Whether to go on, after the preview was shown."""
    if yes:
        return True
    if dry_run or json:
        return False
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        output.note("nothing was deleted; add --yes to do it")
        return False
    output.flush()
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    output.note("nothing was deleted")
    return False
