"""Where the spools of this user lie, and whether anything waits in them: all that a process looks at that writes no audit
records, so it imports next to nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from swampstore.errors import SpoolUnusable

BAD = ".bad"
"""The end of the name of a file that cannot be read."""
_MEMORY = "memory:"


def spool_base(chosen: str | os.PathLike[str] | None = None) -> Path:
    """Where the spools of this user lie: ``chosen``, else ``$SWAMP_SPOOL_DIR``, else below the user's state folder.

    Raises ``SpoolUnusable`` when there is no home.
    """
    given = os.fspath(chosen) if chosen else os.environ.get("SWAMP_SPOOL_DIR", "")
    if given:
        return Path(os.path.abspath(os.path.expanduser(given)))
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    except RuntimeError as error:
        raise SpoolUnusable(
            "there is no place for a spool: this user has no home", hint="set SWAMP_SPOOL_DIR"
        ) from error
    return folder / "swampstore" / "spool"


def spool_for(url: str, chosen: str | os.PathLike[str] | None = None) -> Path | None:
    """Where the spools of the store at ``url`` lie. A store in memory, gone with its process, has none unless asked for."""
    if url.startswith(_MEMORY) and not chosen:
        return None
    return spool_base(chosen)


def store_folder(base: Path, url: str) -> Path:
    """The folder of a store's spools."""
    return base / hashlib.sha256(url.encode()).hexdigest()[:32]


def spooled_namespaces(base: Path, url: str) -> list[str]:
    """The namespaces of the store at ``url`` for which something waits on this machine, or was set aside."""
    folder = store_folder(base, url)
    return [name for name in _names(folder) if any(file.endswith((".rec", BAD)) for file in _names(folder / name))]


def any_spooled(base: Path | None, url: str) -> bool:
    """Whether anything of the store at ``url`` waits on this machine: one look at a folder that most often is not there."""
    return base is not None and bool(spooled_namespaces(base, url))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
