"""The live view in a terminal: a table of figures with sparklines, facts, and who queues."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from swampstore_cli import output
from swampstore_cli.stopping import StopSignals
from swampstore_cli.watch.figures import facts, figures, lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from swampstore_cli.watch.sample import Sample, Watched

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=+*#@"
SPARKS = 40
_QUEUE_LINES = 12


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


def _of_one(name: str, samples: Sequence[Sample], blocks: str, width: int) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    last = samples[-1]
    parts: list[RenderableType] = [Text(f"\n{output.printable(name)}", style="bold")]
    if last.error:
        parts.append(Text(f"no answer: {output.printable(last.error)}", style="red"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for column in ("right", "right", "left", "left"):
        table.add_column(justify=column, no_wrap=True)
    room = max(min(SPARKS, width - 40), 10)
    for figure in figures(samples):
        table.add_row(
            figure.name,
            figure.now,
            Text(sparkline(figure.values, width=room, blocks=blocks), style="cyan"),
            Text(figure.about, style="dim"),
        )
    parts.append(table)
    parts += [Text(f"{word:>9}  {output.printable(text)}") for word, text in facts(last)]
    queues = list(lines(last.status.queues if last.status else None))
    for line in queues[:_QUEUE_LINES]:
        text = f"{line.queue:>12}  {line.position:>3} {line.state:8} {line.who}  {line.age}  {line.purpose}"
        parts.append(Text(output.printable(text), style="red" if line.state in ("stuck", "dead") else ""))
    if len(queues) > _QUEUE_LINES:
        parts.append(Text(f"and {len(queues) - _QUEUE_LINES} more: swamp datastore queue list", style="dim"))
    return parts
