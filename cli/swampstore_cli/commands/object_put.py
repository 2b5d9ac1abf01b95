"""``swamp object put``: one append, whatever the size of the namespace."""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Annotated

import typer

from swampstore.errors import Misuse
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

STDIN = "-"
_SPAN = re.compile(r"(\d{1,9})([smhdw])")
_SPAN_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

app = new_app()


@command(
    app,
    "put",
    examples="""
    swamp object put reports/a.json a.json --content-type application/json
    echo hello | swamp object put notes/hello
    swamp object put cache/x x.bin --tag type=cache --expires-in 30d
    swamp object put names/alice alice.json --if-absent
    """,
)
def put(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Such as reports/a.json.", show_default=False)],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What to store; - or nothing: standard input.", show_default=False)
    ] = STDIN,
    content_type: Annotated[
        str, typer.Option("--content-type", metavar="TYPE", help="A media type to keep with it.", show_default=False)
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A tag to keep with it; repeatable.")
    ] = None,
    expires_in: Annotated[
        str, typer.Option("--expires-in", metavar="SPAN", help="Such as 90s, 15m, 12h, 30d, 4w.", show_default=False)
    ] = "",
    if_version: Annotated[
        str, typer.Option("--if-version", metavar="V", help="Only if KEY is at this version.", show_default=False)
    ] = "",
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Only if there is no KEY.")] = False,
) -> None:
    """Store the contents of FILE (or of standard input) under KEY.

    One append, without any lock or read. When it returns, the write is durable and every later read sees it.
    With --if-version or --if-absent it is read first; another version is a conflict (exit code 3).
    """
    tags = pairs(tag, "tag", "type=report")
    expires = time.time_ns() // 1_000_000 + span_s(expires_in) * 1000 if expires_in else 0
    with session.namespace(one_shot=True) as namespace, contents(file) as data:
        ack = namespace.put(
            key,
            data,
            content_type=content_type,
            tags=tags,
            expires=expires,
            if_version=if_version or None,
            if_absent=if_absent,
        )
        size = len(data) if isinstance(data, bytes) else getattr(data, "size", 0)
    if session.json:
        output.document(
            {
                "key": key,
                "namespace": namespace.name,
                "size": size,
                "version": ack.version.hex(),
                "lane": ack.lane,
                "slot": ack.slot,
                "durable": ack.durable,
            }
        )
    else:
        output.line(f"put {output.printable(key)} ({output.size(size)}) in namespace {namespace.name}")


def pair(text: str, option: str, example: str) -> tuple[str, str]:
    """The two parts of ``NAME=VALUE``. Raises ``Misuse``."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Misuse(f"the {option} {text!r} is not NAME=VALUE", hint=f"such as --{option} {example}")
    return name, value


def pairs(texts: Sequence[str] | None, option: str, example: str) -> dict[str, str]:
    """All ``NAME=VALUE`` of one option. Raises ``Misuse``, also for a name that is given twice: one value would be lost."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, value = pair(text, option, example)
        if name in found:
            raise Misuse(f"the {option} {name!r} is given twice", hint="a name has one value: leave one of them out")
        found[name] = value
    return found


def span_s(text: str) -> int:
    """Seconds of ``90s``, ``15m``, ``12h``, ``30d``, ``4w``. Raises ``Misuse``."""
    matched = _SPAN.fullmatch(text)
    if not matched or not int(matched[1]):
        raise Misuse(f"{text!r} is not a span of time", hint="such as 90s, 15m, 12h, 30d or 4w")
    return int(matched[1]) * _SPAN_S[matched[2]]


@contextmanager
def contents(file: str) -> Iterator[object]:
    """What to store: the bytes themselves while they are few, else a source that reads them in pieces."""
    from swampstore.limits import PART_BYTES

    if file == STDIN:
        if sys.stdin.isatty():
            output.note("reading from the terminal; end with Ctrl-D")
        with _streamed(sys.stdin.buffer, PART_BYTES) as data:
            yield data
        return
    with open(file, "rb") as opened:
        info = os.fstat(opened.fileno())
        if stat.S_ISREG(info.st_mode) and info.st_size > PART_BYTES:
            from swampstore.client.sources import FileSource

            yield FileSource(file)
            return
        with _streamed(opened, PART_BYTES) as data:
            yield data


@contextmanager
def _streamed(stream: IO[bytes], in_memory: int) -> Iterator[object]:
    """Bytes of unknown length: kept in memory up to a limit, beyond it in a temporary file."""
    head = stream.read(in_memory + 1)
    if len(head) <= in_memory:
        yield head
        return
    from swampstore.client.sources import FileSource

    with tempfile.NamedTemporaryFile(prefix="swamp-put-") as spool:
        spool.write(head)
        while chunk := stream.read(1 << 20):
            spool.write(chunk)
        spool.flush()
        yield FileSource(spool.name)
