"""``swamp object list``: keys in order, however many, in bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated

import typer

from swampstore.client.blocking import Namespace, Snapshot
from swampstore.errors import Misuse
from swampstore.values.entry import Entry
from swampstore_cli import output
from swampstore_cli.options import command, new_app
from swampstore_cli.session import Session

app = new_app()


@command(
    app,
    "list",
    examples="""
    swamp object list reports/
    swamp object list --delimiter /
    swamp object list --long --limit 20 --start-after reports/2026
    """,
)
def list_keys(
    session: Session,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="Keys that begin so.", show_default=False)] = "",
    delimiter: Annotated[
        str, typer.Option("--delimiter", metavar="CHAR", help="Roll up what lies deeper.", show_default=False)
    ] = "",
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="At most so many.")] = None,
    start_after: Annotated[
        str, typer.Option("--start-after", metavar="KEY", help="Only keys behind this one.", show_default=False)
    ] = "",
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="NAME", help="As it was in this saved snapshot.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", "-l", help="Show size, time and type too.")] = False,
) -> None:
    """List the keys that begin with PREFIX, in order.

    None is no error, but a namespace that does not exist is one.
    """
    if limit is not None and limit < 1:
        raise Misuse(f"--limit {limit} makes no sense", hint="leave it out to list everything")
    with session.opened() as opened:
        namespace = opened.face.namespace(session.settings.namespace)
        source = namespace if snapshot is None else namespace.snapshot(saved=snapshot)
        listing = _Listing(source, prefix, start_after, limit, delimiter)
        if listing.empty:
            opened.existing(namespace.name)
        if session.json:
            _print_document(listing)
        else:
            for name, entry in listing:
                output.line(_long(name, entry) if long else output.printable(name))
            if listing.more:
                output.note("there are more: raise --limit, or go on with --start-after")


class _Listing:
    """``(name, entry)`` in order, the entry ``None`` for a rolled-up prefix; ``more`` is known behind the last
    one, ``empty`` at once."""

    def __init__(
        self, namespace: Namespace | Snapshot, prefix: str, start_after: str, limit: int | None, delimiter: str
    ) -> None:
        self.more = False
        self._limit = limit
        self._names: Iterator[tuple[str, Entry | None]]
        if delimiter:
            page = namespace.list(prefix, start_after=start_after, limit=limit, delimiter=delimiter)
            found: list[tuple[str, Entry | None]] = [(entry.key, entry) for entry in page.entries]
            rolled: list[tuple[str, Entry | None]] = [(name, None) for name in page.prefixes]
            self._names = heapq.merge(found, rolled, key=lambda item: item[0])
            self.more = page.more
        else:
            self._names = ((entry.key, entry) for entry in namespace.scan(prefix, start_after=start_after))
        first = list(islice(self._names, 1))
        self.empty = not first
        self._names = chain(first, self._names)

    def __iter__(self) -> Iterator[tuple[str, Entry | None]]:
        yield from islice(self._names, self._limit)
        self.more = self.more or (self._limit is not None and next(self._names, None) is not None)


def _print_document(listing: _Listing) -> None:
    """One JSON document, written as it is read."""
    prefixes: list[str] = []
    output.write('{"entries":[')
    separator = ""
    for name, entry in listing:
        if entry is None:
            prefixes.append(name)
        else:
            output.write(separator + output.encoded(output.entry(entry)))
            separator = ",\n"
    output.line(f'],"prefixes":{output.encoded(prefixes)},"more":{"true" if listing.more else "false"}}}')


def _long(name: str, entry: Entry | None) -> str:
    if entry is None:
        return f"{'-':>9}  {'':20}  {output.printable(name)}"
    time = output.moment(entry.meta.modified or entry.meta.created)
    kind = f"  ({output.printable(entry.content_type)})" if entry.content_type else ""
    return f"{output.size(entry.size):>9}  {time:20}  {output.printable(name)}{kind}"
