"""Every code that a check can say stands in the reference, with its severity, and none that no check says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from swampstore.workers.doctor.finding import RANKS

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "doctor.md"
CODE = re.compile(r"[a-z]+(-[a-z]+)*")


def said() -> set[str]:
    """The constant codes in the source, and those that are put together there."""
    found: set[str] = {"holder-dead", "holder-stuck", "guard-stale-update", "guard-stale-holder", "guard-stale-append"}
    for path in (ROOT / "swampstore" / "workers" / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                texts = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}
    return found


def test_the_page_has_every_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", PAGE.read_text(), re.MULTILINE)
    codes = [code for code, _ in rows]
    assert len(set(codes)) == len(codes)
    assert set(codes) == said()
    for code, severities in rows:
        assert set(severities.split(", ")) <= set(RANKS), code
