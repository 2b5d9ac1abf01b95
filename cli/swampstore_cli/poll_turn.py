"""The turn of one poller among those of its name: a place in a queue, looked at before every run.

Invariant: a store that does not answer delays neither a run nor the end by more than a few seconds. A look that comes
back late still counts, at the next run; a place that could not be given back is passed over when its time is up.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from swampstore.errors import FencedError, StoreUnavailable, SwampError
from swampstore_cli import output

if TYPE_CHECKING:
    from swampstore.client.blocking_shared import Place
    from swampstore.env.blocking import BlockingEnv

LOOK_S = 5.0
RELEASE_S = 5.0


class Turn:
    """A context manager around the one of the queue, ``held``: waits for the place, gives it back."""

    def __init__(self, env: BlockingEnv, held: AbstractContextManager[Place]) -> None:
        self._env = env
        self._held = held
        self._looking = False
        self._fenced: FencedError | None = None

    def __enter__(self) -> Self:
        self._place = self._held.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from swampstore.env.blocking import run

        try:
            run(self._env.within(RELEASE_S, self._release()))
        except (TimeoutError, SwampError) as away:
            output.note(f"the place in the queue could not be given back, others wait until its time is up: {away}")

    @property
    def files(self) -> tuple[int, ...]:
        """The open files that are the place while anybody has them open: one on a local store."""
        held = self._place.lock_file
        return () if held is None else (held,)

    def check(self) -> None:
        """Raise ``FencedError`` if another instance has taken over, another ``SwampError`` where that is not known."""
        from swampstore.env.blocking import run

        if self._looking:  # since the run before: one look at a time is enough
            raise self._unknown("no answer yet")
        try:
            if self._fenced is None:
                run(self._env.within(LOOK_S, self._look()))
        except TimeoutError as late:
            raise self._unknown(str(late)) from late
        if self._fenced is not None:
            raise self._fenced

    async def _look(self) -> None:
        self._looking = True
        try:
            self._place.check()
        except FencedError as error:
            self._fenced = error
        finally:
            self._looking = False

    async def _release(self) -> None:
        self._held.__exit__(None, None, None)

    def _unknown(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"whether another instance has taken over is not known: {why}", hint="this one goes on meanwhile"
        )
