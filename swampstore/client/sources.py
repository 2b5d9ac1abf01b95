"""Contents that are a file: read in pieces, again from the start when a retry needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from swampstore.errors import Misuse
from swampstore.limits import MIB


class FileSource:
    """The contents of a regular file. ``size`` is taken when it is made; a file that shrinks or grows is noticed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.size = self.path.stat().st_size

    def chunks(self, chunk_bytes: int = MIB) -> Iterator[bytes]:
        """Yield the contents in order. Raises ``Misuse`` when the file changed its size meanwhile."""
        left = self.size
        with self.path.open("rb") as file:
            while left and (chunk := file.read(min(chunk_bytes, left))):
                left -= len(chunk)
                yield chunk
            if left or file.read(1):
                raise Misuse(f"{self.path} changed while it was read", hint="try again when nobody writes it")
