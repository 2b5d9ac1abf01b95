"""What DuckDB answers, in words that JSON and CSV have.

Invariants: bytes are base64, as everywhere else; no column is lost to another of the same name.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any


def names_apart(names: Sequence[str]) -> list[str]:
    """``names`` with those that repeat an earlier one numbered: ``a``, ``a_1``."""
    taken = set(names)
    seen: set[str] = set()
    found: list[str] = []
    for name in names:
        apart, number = name, 0
        while apart in seen or (number and apart in taken):
            number += 1
            apart = f"{name}_{number}"
        seen.add(apart)
        found.append(apart)
    return found


def plain(cell: Any) -> Any:
    """What JSON has a word for; bytes in base64, everything else as a text."""
    if cell is None or isinstance(cell, str | int | float):
        return cell
    if isinstance(cell, bytes | bytearray | memoryview):
        return base64.b64encode(cell).decode()
    if isinstance(cell, Mapping):
        return {str(plain(name)): plain(one) for name, one in cell.items()}
    if isinstance(cell, list | tuple):
        return [plain(one) for one in cell]
    return str(cell)


def text(cell: Any) -> str:
    """The same for CSV and tables: nothing for null, JSON for what has parts."""
    found = plain(cell)
    if isinstance(found, list | dict):
        from swampstore_cli.audit_rows import compact

        return compact(found)
    return "" if found is None else str(found)
