"""``swamp audit append``: one record, durable when it returns; in the spool of this machine when the store is away."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from swampstore.errors import Misuse, NotFound, TooLarge
from swampstore_cli import output
from swampstore_cli.commands.object_put import STDIN, contents
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session
from swampstore_cli.spool_shown import SPOOLED_EXIT

app = new_app()


@command(
    app,
    "append",
    examples="""
    echo '{"provider": "a", "cost": 3}' | swamp audit append decisions
    swamp audit append decisions events.ndjson --lines
    swamp audit append decisions --text "deployed by hand" --id deploy-7 --time 2026-11-01T10:30Z
    swamp audit append scans report.bin --raw --when-down fail
    """,
)
def append(
    session: Session,
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as decisions.", show_default=False)],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A JSON document; - or nothing: standard input.", show_default=False)
    ] = STDIN,
    lines: Annotated[bool, typer.Option("--lines", help="Each line is a document, and a record.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Keep the bytes as they are.")] = False,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="The record is this text.", show_default=False)
    ] = None,
    record_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="With --time: written again it stays one record.")
    ] = "",
    time: Annotated[
        str, typer.Option("--time", metavar="WHEN", help="The time it bears (default: now).", show_default=False)
    ] = "",
    when_down: Annotated[
        str, typer.Option("--when-down", metavar="WHAT", help="spool, fail or block, if there is no answer.")
    ] = "spool",
    reach: Annotated[float, typer.Option("--reach", metavar="SECONDS", help="How long to wait for an answer.")] = 2.0,
) -> None:
    """Write an audit record to TOPIC: one append, no lock, no index entry.

    When the store cannot be reached in time the record is kept on this machine and delivered later, by whichever command
    of this user uses the store next; then the exit code is 76. A record has at most 256 KiB.
    """
    if text is not None and (file != STDIN or lines or raw):
        raise Misuse("--text together with a file, --lines or --raw", hint="give one of them")
    data = [text] if text is not None else _records(file, lines=lines, raw=raw)
    with session.namespace(one_shot=True) as namespace:
        audit = namespace.audit(topic, when_down=when_down, reach=reach)  # type: ignore[arg-type]
        ts = _time(time)
        if record_id and len(data) > 1:
            raise Misuse("--id together with several records", hint="give each its own")
        ack = audit.write_many([audit.record(one, ts=ts, record_id=record_id or None) for one in data])
    if session.json:
        shown = {"topic": topic, "ids": ack.ids, "spooled": ack.spooled, "durable": ack.durable}
        output.document(shown | {"lane": ack.lane, "slot": ack.slot})
    else:
        what = ack.ids[0] if len(data) == 1 else output.count(len(data), "record")
        waiting = f"{'waits' if len(data) == 1 else 'wait'} on this machine for the store"
        output.line(f"{what} {waiting if ack.spooled else 'written'}")
    if ack.spooled:
        raise typer.Exit(SPOOLED_EXIT)


def _time(text: str) -> int | None:
    from swampstore_cli.moments import moment_ms

    return moment_ms(text, "--time") if text else None


def _records(file: str, *, lines: bool, raw: bool) -> list[Any]:
    try:
        with contents(file) as data:
            if not isinstance(data, bytes):
                raise TooLarge(
                    "that is too much for one append", hint="write it in parts; a record has at most 256 KiB"
                )
    except FileNotFoundError:
        hint = "FILE is the name of a file; a text is given with --text, a document on standard input"
        raise NotFound(f"{file}: no such file", hint=hint) from None
    parts = (
        [(number, line) for number, line in enumerate(data.splitlines(), 1) if line.strip()] if lines else [(0, data)]
    )
    if not parts:
        raise Misuse("there is no line to write", hint="give at least one")
    return [part if raw else _document(part, number) for number, part in parts]


def _document(part: bytes, line: int) -> Any:
    import msgspec

    hint = "--text for a text, --raw for bytes as they are"
    if not part.strip():
        raise Misuse("there is nothing to write: the input is empty", hint=hint)
    try:
        return msgspec.json.decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        what = f"line {line}" if line else "that"
        more = "; nothing was written" if line else ""
        raise Misuse(f"{what} is no JSON: {error}{more}", hint=hint) from None
