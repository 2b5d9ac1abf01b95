"""An environment whose time only moves when somebody sleeps or waits."""

from __future__ import annotations

from swampstore.env.blocking import BlockingEnv


class VirtualEnv(BlockingEnv):
    """``pauses`` are the sleeps so far, ``slept`` their sum."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._began = super().boot()
        self._wall = super().wall_ms()

    @property
    def slept(self) -> float:
        return sum(self.pauses)

    def boot(self) -> float:
        return self._began + self.slept

    def wall_ms(self) -> int:
        return self._wall + int(self.slept * 1000)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
