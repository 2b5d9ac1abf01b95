"""The page of a store: HTML made here, whole, with plots as SVG inside; nothing is fetched from anywhere else.

Invariants:
- Everything that came from a store is escaped: keys, purposes and hosts are whatever somebody wrote.
- The page works without scripts (it reloads itself); the few lines of script only replace the middle of it in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from swampstore_cli import output
from swampstore_cli.watch.figures import facts, figures, lines
from swampstore_cli.watch.sample import Sample, Watched
from swampstore_cli.watch.svg import plot

_QUEUE_LINES = 100

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #667084; --ground: #f6f7f9; --card: #ffffff; --line: #2563eb;
  --edge: #e3e6ec; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --ground: #12161c; --card: #1b212b;
  --line: #6ea8fe; --edge: #2b3340; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.2rem 1.6rem; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui,
  sans-serif; }
header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; }
h1 { font-size: 1.1rem; margin: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 .6rem; }
.dim, figcaption small { color: var(--dim); } .bad { color: var(--bad); font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .8rem; }
figure { margin: 0; padding: .7rem .8rem .4rem; background: var(--card); border: 1px solid var(--edge);
  border-radius: .5rem; }
figcaption { display: flex; justify-content: space-between; gap: .5rem; } figcaption b { font-weight: 600; }
figure small { display: block; font-size: .78rem; }
svg { width: 100%; height: 4rem; display: block; }
polyline { fill: none; stroke: var(--line); stroke-width: 1.6; vector-effect: non-scaling-stroke; }
polygon { fill: var(--line); opacity: .14; } circle { fill: var(--line); } .base { stroke: var(--edge); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .8rem 0; } dt { color: var(--dim); }
dd { margin: 0; } table { border-collapse: collapse; margin: .6rem 0; } td, th { text-align: left; padding: .15rem .9rem
  .15rem 0; } th { color: var(--dim); font-weight: 400; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
"""

_SCRIPT = """
const middle = document.querySelector("main"), told = document.querySelector("#told");
async function again() {
  try {
    const answer = await fetch("middle" + location.search, {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.status);
    middle.innerHTML = await answer.text();
    told.textContent = ""; told.className = "";
  } catch (error) {
    told.textContent = "not watching any more: is the command still running?"; told.className = "bad";
  }
}
setInterval(again, Number(document.body.dataset.every) * 1000);
"""


def page(watched: Sequence[Watched], url: str, interval_s: float, nonce: str) -> str:
    """The whole document. ``nonce`` is what the answer's policy lets style and script be known by."""
    every = f"{interval_s:g}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(url)} - swamp</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<noscript><meta http-equiv="refresh" content="{max(round(interval_s), 1)}"></noscript>'
        f'<style nonce="{nonce}">{_STYLE}</style></head><body data-every="{every}"><header>'
        f'<h1>{escape(url)}</h1><span class="dim">every {every} s, read only</span><span id="told"></span></header>'
        f'<main>{middle(watched)}</main><script nonce="{nonce}">{_SCRIPT}</script></body></html>'
    )


def middle(watched: Sequence[Watched]) -> str:
    """What changes."""
    if not watched:
        return '<p class="dim">The store holds no namespace yet; the first write makes one.</p>'
    return "".join(part for one in watched for part in _namespace(one.name, list(one.samples)))


def _namespace(name: str, samples: Sequence[Sample]) -> Iterator[str]:
    yield f"<section><h2>{escape(name)}</h2>"
    if not samples:
        yield '<p class="dim">looking ...</p></section>'
        return
    last = samples[-1]
    if last.error:
        yield f'<p class="bad">No answer: {escape(last.error)}</p>'
    yield '<div class="plots">'
    for figure in figures(samples):
        yield (
            f"<figure><figcaption><b>{escape(figure.name)}</b><span>{escape(figure.now)}</span></figcaption>"
            f"{plot(figure.name, figure.values)}<small class=dim>{escape(figure.about)}</small></figure>"
        )
    yield "</div><dl>"
    for word, text in facts(last):
        yield f"<dt>{escape(word)}</dt><dd>{escape(output.printable(text))}</dd>"
    yield "</dl>"
    yield from _queues(last)
    yield "</section>"


def _queues(last: Sample) -> Iterator[str]:
    found = list(lines(last.status.queues if last.status else None))
    if not found:
        return
    yield "<table><thead><tr>"
    yield "".join(f"<th>{name}</th>" for name in ("queue (capacity)", "position", "state", "who", "age", "purpose"))
    yield "</tr></thead><tbody>"
    for line in found[:_QUEUE_LINES]:
        mark = " class=bad" if line.state in ("stuck", "dead") else ""
        cells = [escape(output.printable(str(text))) for text in line]
        cells[2] = f"<span{mark}>{cells[2]}</span>"
        yield (
            "<tr>"
            + "".join(
                f"<td class=n>{text}</td>" if at in (1, 4) else f"<td>{text}</td>" for at, text in enumerate(cells)
            )
            + "</tr>"
        )
    yield "</tbody></table>"
    if len(found) > _QUEUE_LINES:
        yield f'<p class="dim">and {len(found) - _QUEUE_LINES} more</p>'
