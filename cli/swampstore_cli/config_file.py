"""Writing the ``datastore`` section of ``.swamp.yaml``; every other line of the file stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swampstore_cli.whole_file import replacing

_SECTION = re.compile(r"^datastore[ \t]*:.*(?:\n(?:[ \t]+.*|[ \t]*#.*|- .*|[ \t]*))*", re.MULTILINE)


def with_section(text: str, section: Mapping[str, Any]) -> str:
    """``text`` with its ``datastore`` section replaced by ``section``, or with the section added at the end."""
    import yaml

    block = yaml.safe_dump({"datastore": dict(section)}, sort_keys=False, allow_unicode=True).rstrip("\n")
    found = _SECTION.search(text)
    if found:
        # Empty lines and comments behind the last key belong to what follows.
        old = found[0]
        kept = re.search(r"(?:\n(?:[ \t]*|#.*))*\Z", old)
        tail = kept[0] if kept else ""
        return text[: found.start()] + block + tail + text[found.end() :]
    separator = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{separator}{block}\n"


def write_file(file: Path, text: str) -> None:
    """Replace ``file`` in one step; a link is followed, its permissions stay."""
    with replacing(str(file)) as out:
        out.write(text.encode())
