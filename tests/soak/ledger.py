"""What the processes of a soak have said and been promised: small files that all of them map.

``Cells`` are numbers that grow (what a key holds, a counter), ``Marks`` single events (a record, an increment). Both are
written before the deed and after its acknowledgement, so a killed process leaves what it may have done; every reader can
check what it reads against them, at any moment, in memory that does not grow with time.

Invariant: a cell or a mark is written by one process at a time: the one that plays the part it belongs to.
"""

from __future__ import annotations

import mmap
from pathlib import Path

SAID, SURE, NOT_DONE = 1, 2, 3


class _Mapped:
    def __init__(self, path: Path, size: int) -> None:
        with path.open("a+b") as file:
            if file.seek(0, 2) < size:
                file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)


class Cells(_Mapped):
    """``count`` pairs ``(sure, said)``: the highest number acknowledged, and the highest that may have been written."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path, 16 * count)
        self._numbers = memoryview(self._map).cast("q")

    def sure(self, cell: int) -> int:
        return self._numbers[2 * cell]

    def said(self, cell: int) -> int:
        return self._numbers[2 * cell + 1]

    def say(self, cell: int) -> int:
        """The next number, about to be written."""
        self._numbers[2 * cell + 1] += 1
        return self._numbers[2 * cell + 1]

    def settle(self, cell: int, number: int) -> None:
        """``number`` was acknowledged."""
        self._numbers[2 * cell] = number

    def count_sure(self, cell: int) -> None:
        """One more of those that were said was acknowledged (of a cell that counts deeds)."""
        self._numbers[2 * cell] += 1

    def unsay(self, cell: int) -> None:
        """What was said last is known not to have been done."""
        self._numbers[2 * cell + 1] -= 1


class Marks(_Mapped):
    """``count`` events, each nothing, ``SAID``, ``SURE`` or ``NOT_DONE``; the first eight bytes say how many there are."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path, 8 + count)
        self.room = count
        self._next = memoryview(self._map)[:8].cast("q")

    def __len__(self) -> int:
        return self._next[0]

    def __getitem__(self, number: int) -> int:
        return self._map[8 + number] if 0 <= number < self.room else 0

    def say(self) -> int:
        """The number of a new event, about to be tried. Raises ``IndexError`` when there is no room for more."""
        number = self._next[0]
        self._map[8 + number] = SAID
        self._next[0] = number + 1
        return number

    def settle(self, number: int, mark: int) -> None:
        self._map[8 + number] = mark

    def copy(self) -> bytes:
        """All marks at this moment."""
        return self._map[8 : 8 + len(self)]
