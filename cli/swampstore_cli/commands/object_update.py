"""``swamp object update``: read, let a command decide, write, with nobody's commit in between."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer

from swampstore.errors import SwampError
from swampstore_cli import output
from swampstore_cli.command_group import GRACE_S, grouped
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "update",
    examples="""
    swamp object update counter --exec 'echo $(( $(cat) + 1 ))'
    swamp object update plan.json --exec 'jq .step+=1' --lock deploy --deadline 60
    """,
)
def update(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Such as reports/a.json.", show_default=False)],
    exec_: Annotated[
        str, typer.Option("--exec", metavar="CMD", help="Run by sh: old value in, new value out.", show_default=False)
    ],
    lock: Annotated[
        str,
        typer.Option("--lock", metavar="NAME", help="Wait in this lock's queue, not the key's.", show_default=False),
    ] = "",
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="SECONDS", help="Wait no longer than this for a turn.")
    ] = None,
) -> None:
    """Replace what is stored under KEY by what CMD makes of it.

    CMD gets the value on standard input (nothing when there is none; then SWAMP_EXISTS is 0) and writes the new one to
    standard output. If somebody else commits first, CMD runs again with the new value, then in turn. If CMD fails,
    nothing is written. When the deadline passes, the exit code is 75.

    Interrupted or terminated, CMD gets SIGTERM and five seconds. Whatever it started ends with it, but for what leaves its
    session (setsid).
    """
    with session.namespace(one_shot=True) as namespace:
        done = namespace.update(
            key, lambda value: _carried_out(exec_, key, value), lock=lock or None, deadline=deadline
        )
    if session.json:
        versions = [version.hex() for version in done.versions]
        told = msgspec.to_builtins(done) | {"versions": versions}
        output.document({"key": key, "namespace": namespace.name, "version": versions[0], "update": told})
    else:
        output.line(
            f"updated {output.printable(key)} in namespace {namespace.name}"
            f" ({output.count(done.attempts, 'attempt')}, waited {done.waited:.1f} s)"
        )


def _carried_out(line: str, key: str, value: bytes | None) -> bytes:
    environment = os.environ | {"SWAMP_KEY": key, "SWAMP_EXISTS": "0" if value is None else "1"}
    try:
        with grouped(["sh", "-c", line], stderr=None, env=environment, polite_s=GRACE_S) as child:
            made, _ = child.communicate(value or b"")
    except (KeyboardInterrupt, SystemExit):
        output.note("the command was stopped; nothing was written")
        raise
    if child.returncode:
        how = f"exit code {child.returncode}" if child.returncode > 0 else f"signal {-child.returncode}"
        raise SwampError(f"the command ended with {how}; nothing was written", hint="its own messages are above")
    return made
