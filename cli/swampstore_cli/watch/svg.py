"""A small plot over time as SVG: one line, the greatest value beside it, gaps where there was no answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

WIDTH, HEIGHT = 320, 64
POINTS = 320
_TOP, _BOTTOM = 6.0, HEIGHT - 4.0


def plot(title: str, values: Sequence[float | None]) -> str:
    """The plot of ``values``, the newest at the right edge, from zero up to their greatest."""
    kept = thinned(values, POINTS)
    known = [value for value in kept if value is not None]
    high = max(known, default=0.0)
    shapes = "".join(_shape(part) for part in _parts(kept, high or 1.0))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(title)}">'
        f'<line class="base" x1="0" x2="{WIDTH}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>{shapes}</svg>'
    )


def thinned(values: Sequence[float | None], most: int) -> list[float | None]:
    """At most ``most`` values, each the greatest of its neighbours: a peak of one sample stays a peak."""
    if len(values) <= most:
        return list(values)
    found: list[float | None] = []
    for at in range(most):
        part = values[at * len(values) // most : (at + 1) * len(values) // most]
        known = [value for value in part if value is not None]
        found.append(max(known) if known else None)
    return found


def _parts(values: Sequence[float | None], high: float) -> Iterator[list[tuple[float, float]]]:
    """The points of each stretch without a gap."""
    step = WIDTH / max(len(values) - 1, 1)
    part: list[tuple[float, float]] = []
    for at, value in enumerate(values):
        if value is None:
            if part:
                yield part
            part = []
        else:
            part.append((at * step, _BOTTOM - (_BOTTOM - _TOP) * value / high))
    if part:
        yield part


def _shape(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2"/>'
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{_BOTTOM} {line} {points[-1][0]:.1f},{_BOTTOM}"
    return f'<polygon points="{area}"/><polyline points="{line}"/>'
