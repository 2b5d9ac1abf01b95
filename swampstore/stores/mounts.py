"""Whether a folder lies on a disk of this machine, told from the table of mounts.

Lane files need a kernel that keeps locks and pages for all processes that use them: on a network file system it does
not. What is not known to be local counts as not local.
"""

from __future__ import annotations

import os
from pathlib import Path

LOCAL_TYPES = frozenset(
    {
        "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "overlay", "ramfs", "reiserfs", "tmpfs",
        "xfs", "zfs",
    }
)  # fmt: skip
"""File systems that one kernel alone writes to."""
_TABLE = "/proc/self/mountinfo"


def on_local_disk(path: str, table: str = _TABLE) -> bool:
    """Whether ``path`` (real, absolute) is on a file system of :data:`LOCAL_TYPES`; false where nobody can tell."""
    try:
        lines = Path(table).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return False
    return file_system(path, lines) in LOCAL_TYPES


def file_system(path: str, lines: list[str]) -> str:
    """The type of the file system that ``path`` is on, by the lines of a table of mounts; the last mount on top wins."""
    longest, found = -1, ""
    for line in lines:
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
        inside = path == point or path.startswith(point.rstrip(os.sep) + os.sep)
        if inside and len(point) >= longest:
            longest, found = len(point), after.split(" ")[0]
    return found
