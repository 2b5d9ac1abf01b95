"""What a command prints: the result on standard output, everything else on standard error.

With ``--json`` the result is one JSON document, and an error is one line ``{"error", "code", "hint"}`` on standard error
(a conflict also says ``expected`` and ``current``).

Invariant: a reader that goes away (``swamp object list | head``) ends the command at once and quietly.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swampstore.values.entry import Entry

_UNSET: dict[str, Any] = dict.fromkeys([
    "key", "version", "size", "sha256", "contentType", "tags",
    "created", "modified", "lifetime", "expires", "unverified", "class",
])  # fmt: skip
"""All that ``Entry.describe`` may say."""
_CELL = 60
"""Columns of a cell of a table on a terminal."""
READER_GONE_EXIT = 141
"""What a shell reports for a program that was stopped by a closed pipe."""


def line(text: str = "") -> None:
    """One line of the result."""
    write(text + "\n")


def write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        reader_gone()


def write_bytes(data: bytes) -> None:
    """Contents, as they are."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        reader_gone()


def flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        reader_gone()


def reader_gone() -> None:
    """Stop: nobody reads on. What is still buffered goes nowhere, so that the interpreter's exit is quiet too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(READER_GONE_EXIT)


def document(value: Any) -> None:
    """The one JSON document of a command: indented for people, on one line for programs."""
    line(encoded(value, indent=2 if sys.stdout.isatty() else None))


def entry(found: Entry) -> dict[str, Any]:
    """An entry as JSON shows it: always the same fields, ``null`` where there is nothing to say."""
    return _UNSET | found.describe()


def encoded(value: Any, indent: int | None = None) -> str:
    """``value`` as JSON; what JSON has no number for (NaN, infinities) is ``null``, as msgspec writes it."""
    import json

    import msgspec

    plain = msgspec.to_builtins(value)
    try:
        return json.dumps(plain, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(plain), ensure_ascii=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def note(text: str) -> None:
    """Something to know beside the result."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")


def problem(error: str, code: str, hint: str, *, json: bool, **more: Any) -> None:
    """An error, for people or for programs; ``more`` is for programs (what was expected, what is there)."""
    if json:
        note(encoded({"error": error, "code": code, "hint": hint} | more))
        return
    note(f"error: {printable(error)}")
    if hint:
        note(f"hint: {printable(hint)}")


def printable(text: str) -> str:
    """``text`` without characters that would move a terminal's cursor or hide something."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cell(text: str) -> str:
    """``text`` as a cell of a table: on a terminal one that is very long is cut, programs get all of it."""
    shown = printable(text)
    if len(shown) <= _CELL or not _is_terminal():
        return shown
    mark = "\u2026" if "utf" in (sys.stdout.encoding or "").lower() else "..."
    return shown[: _CELL - len(mark)] + mark


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    """Aligned columns; those in ``right`` (numbers) are set flush right."""
    cells = [tuple(header), *(tuple(cell(text) for text in row) for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    for row in cells:
        parts = (
            text.rjust(width) if at in right else text.ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        line("  ".join(parts).rstrip())


def size(count: float) -> str:
    """Bytes for people: ``4.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def age(seconds: float) -> str:
    """A span for people: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    for limit, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def moment(ms: int) -> str:
    """A time for people, in UTC to the second; empty for 0."""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}" if ms else ""


def count(number: int, thing: str, plural: str = "") -> str:
    """``1 file``, ``25 files``, ``262,000 entries``."""
    return f"{number:,} {thing if number == 1 else plural or thing + 's'}"
