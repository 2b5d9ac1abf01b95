"""The live view in a terminal: a table of figures with sparklines, facts, and who queues."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from swampstore_cli import output
from swampstore_cli.stopping import StopSignals
from swampstore_cli.watch.figures import Figure, facts, figures, lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from swampstore_cli.watch.sample import Sample, Watched

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=+*#@"
SPARKS = 40
_QUEUE_LINES = 12
_GAP = 2
_FEW_BLOCKS = 10
"""At least so many where there is room for what a figure is about."""
_SHORTEST_ABOUT = 30
"""Cut shorter it tells nothing."""


def sparkline(values: Sequence[float | None], *, width: int = SPARKS, blocks: str = _BLOCKS) -> str:
    """The last ``width`` values as blocks between the least and the greatest of them; a gap is a space."""
    shown = values[-width:]
    known = [value for value in shown if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    step = (high - low) / (len(blocks) - 1)
    return "".join(
        " " if value is None else blocks[round((value - low) / step)] if step else blocks[0] for value in shown
    )


def watch_in_terminal(watched: Sequence[Watched], stop: StopSignals, interval_s: float, url: str) -> None:
    """Look and show until stopped. Without a terminal, or with one that moves no cursor: a line for each namespace and look."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal or console.is_dumb_terminal:
        _lines(watched, stop, interval_s)
        return
    from rich.live import Live

    blocks = _BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else _ASCII
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            for one in watched:
                one.look()
            live.update(_view(watched, url, interval_s, blocks, console), refresh=True)
            if _wait(stop, interval_s):
                break


def watch_as_json(watched: Sequence[Watched], stop: StopSignals, interval_s: float) -> None:
    """One JSON line for each namespace and look."""
    while True:
        for one in watched:
            output.line(output.encoded({"namespace": one.name, "sample": one.look()}))
        output.flush()
        if _wait(stop, interval_s):
            break


def _lines(watched: Sequence[Watched], stop: StopSignals, interval_s: float) -> None:
    while True:
        for one in watched:
            sample = one.look()
            told = ", ".join(f"{figure.name} {figure.now}" for figure in figures([sample]))
            output.line(f"{output.moment(sample.at)}  {one.name}: {sample.error or told}")
        output.flush()
        if _wait(stop, interval_s):
            break


def _wait(stop: StopSignals, seconds: float) -> bool:
    from swampstore.env.blocking import run

    return run(stop.wait(seconds))


def _view(watched: Sequence[Watched], url: str, interval_s: float, blocks: str, console: Console) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(f"{url}   every {interval_s:g} s   Ctrl-C stops", style="dim")]
    if not watched:
        parts.append(Text("the store holds no namespace yet; the first write makes one"))
    for one in watched:
        parts += _of_one(one.name, list(one.samples), blocks, console.width)
    return Group(*parts)


def _table(shown: Sequence[Figure], blocks: str, width: int) -> Table:
    """The figures. Names and values keep their room; in a narrow terminal what is about them goes first, then the blocks."""
    from rich.table import Table
    from rich.text import Text

    values = max(len(figure.now) for figure in shown)
    names = max(min(max(len(figure.name) for figure in shown), width - values - _GAP), 1)
    spare = width - names - values - 2 * _GAP
    about = min(max(len(figure.about) for figure in shown), spare - _FEW_BLOCKS - _GAP)
    about = about if about >= _SHORTEST_ABOUT else 0
    sparks = min(SPARKS, spare - (about + _GAP if about else 0))
    table = Table(box=None, show_header=False, padding=(0, _GAP, 0, 0), pad_edge=False)
    table.add_column(justify="right", no_wrap=True, width=names)
    table.add_column(justify="right", no_wrap=True, width=min(values, width))
    for room in (sparks, about):
        if room > 0:
            table.add_column(no_wrap=True, width=room)
    for figure in shown:
        row = [figure.name, figure.now]
        drawn = Text(sparkline(figure.values, width=sparks, blocks=blocks), style="cyan") if sparks > 0 else None
        told = Text(figure.about, style="dim") if about else None
        table.add_row(*row, *(cell for cell in (drawn, told) if cell is not None))
    return table


def _of_one(name: str, samples: Sequence[Sample], blocks: str, width: int) -> list[RenderableType]:
    from rich.text import Text

    last = samples[-1]
    parts: list[RenderableType] = [Text(f"\n{output.printable(name)}", style="bold")]
    if last.error:
        parts.append(Text(f"no answer: {output.printable(last.error)}", style="red"))
    parts.append(_table(list(figures(samples)), blocks, width))
    parts += [Text(f"{word:>9}  {output.printable(text)}") for word, text in facts(last)]
    queues = list(lines(last.status.queues if last.status else None))
    for line in queues[:_QUEUE_LINES]:
        text = f"{line.queue:>12}  {line.position:>3} {line.state:8} {line.who}  {line.age}  {line.purpose}"
        parts.append(Text(output.printable(text), style="red" if line.state in ("stuck", "dead") else ""))
    if len(queues) > _QUEUE_LINES:
        parts.append(Text(f"and {len(queues) - _QUEUE_LINES} more: swamp datastore queue list", style="dim"))
    return parts
