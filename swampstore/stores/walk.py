"""The files below a folder, in the UTF-8 byte order of their names, from any point on.

Invariants:
- Names come in the order of their bytes, across folders: ``a-b`` before ``a/b`` before ``a0``.
- A file that was there before the walk began and is not removed meanwhile is met; a file or folder that vanishes
  during the walk is no error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from swampstore.stores.base import Info


def etag_of(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns}-{found.st_size}"


def modified_ms(found: os.stat_result) -> int:
    return found.st_mtime_ns // 1_000_000


def walk(root: str, prefix: str, start_after: str, *, hidden: str) -> Iterator[Info]:
    """Regular files whose name starts with ``prefix`` and sorts after ``start_after``.

    Links, devices, names that are not UTF-8 and the folder ``hidden`` of the root are passed over. Raises ``OSError``
    for a folder that cannot be read.
    """
    if prefix.startswith(f"{hidden}/"):
        return
    inner = prefix.rpartition("/")[0]
    yield from _folder(root, f"{inner}/" if inner else "", prefix, start_after, hidden)


def _folder(root: str, path: str, prefix: str, start_after: str, hidden: str) -> Iterator[Info]:
    """``path`` is the folder's name below the root, with a slash at its end (or empty for the root)."""
    found: list[tuple[str, os.DirEntry[str]]] = []
    try:
        with os.scandir(f"{root}/{path}") as entries:
            for entry in entries:
                folder = entry.is_dir(follow_symlinks=False)
                name = f"{path}{entry.name}/" if folder else path + entry.name
                if _wanted(name, prefix, start_after, folder) and not (folder and name == f"{hidden}/"):
                    found.append((name, entry))
    except (FileNotFoundError, NotADirectoryError):
        return
    found.sort(key=_by_name)
    for name, entry in found:
        if name.endswith("/"):
            yield from _folder(root, name, prefix, start_after, hidden)
        elif entry.is_file(follow_symlinks=False) and _is_text(name):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield Info(name, status.st_size, etag_of(status), modified_ms(status))


def _wanted(name: str, prefix: str, start_after: str, folder: bool) -> bool:
    if folder:  # some name in it may qualify
        return (name.startswith(prefix) or prefix.startswith(name)) and (
            name > start_after or start_after.startswith(name)
        )
    return name.startswith(prefix) and name > start_after


def _by_name(item: tuple[str, os.DirEntry[str]]) -> str:
    return item[0]


def _is_text(name: str) -> bool:
    """Whether ``name`` came from UTF-8 (other bytes are read as lone surrogates)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
