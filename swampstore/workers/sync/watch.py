"""Keeping trees and namespaces alike for as long as it is wanted: what changes on either side is on the other soon.

Local changes come from the system's own news (see :mod:`swampstore.workers.sync.notify`); the namespace is asked, two
requests at a time. A pass looks only at what changed. Now and then, and where the system has no news, it looks at all.

Invariants:
- A change that no pass has carried is carried by a later one: what was told stays wanted until a pass has succeeded.
- Trouble with the store ends nothing: it is told, and tried again after a growing pause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swampstore.env.base import Env
from swampstore.errors import StoreFull, SwampError, TryAgain
from swampstore.workers.sync.notify import Changes, Stop
from swampstore.workers.sync.options import SyncOptions
from swampstore.workers.sync.push import Namespace
from swampstore.workers.sync.report import SyncReport
from swampstore.workers.sync.session import sync

POLL_S = 1.0
IDLE_POLL_S = 2.0
"""How often the namespace is asked while something happens, and after a while when nothing does."""
_IDLE_TURNS = 30
WHOLE_S = 600.0
"""How often everything is looked at, whatever was told."""
_BLIND_S = 2.0
_BLIND_SHARE = 10
"""Without news the whole tree is looked at every 2 s, and no more than a tenth of the time."""
_TROUBLE_MAX_S = 60.0
_PATHS = 10_000
"""With more changed paths than this everything is looked at."""


@dataclass
class Pair:
    """A namespace and its tree, which lies ``below`` the watched folder (empty: it is the folder)."""

    namespace: Namespace
    tree: Path
    below: str = ""
    paths: set[str] | None = field(default=None)
    """What the next pass looks at; ``None`` for everything."""

    def add(self, changed: set[str] | None) -> None:
        """Look at ``changed`` too."""
        if changed is None:
            self.paths = None
        elif self.paths is not None:
            self.paths |= changed
            if len(self.paths) > _PATHS:
                self.paths = None


class Watch:
    """See the module. ``on_pass`` is told of each pass that did something, ``on_error`` of trouble."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        options: SyncOptions,
        changes: Changes,
        env: Env,
        stop: Stop,
        *,
        on_pass: Callable[[Pair, SyncReport], None],
        on_error: Callable[[Pair, SwampError], None],
    ) -> None:
        self._pairs = pairs
        self._options = options
        self._changes = changes
        self._env = env
        self._stop = stop
        self._on_pass = on_pass
        self._on_error = on_error
        self._trouble = 0
        self._idle = 0

    async def run(self) -> None:
        """Follow until stopped. Raises what no trying again can mend: a damaged namespace, a store that refuses."""
        whole_at = self._env.boot() + WHOLE_S
        blind_at = 0.0
        while not self._stop.is_set():
            began = self._env.boot()
            busy = False
            for pair in self._pairs:
                busy = await self._pass(pair) or busy
                if self._stop.is_set():
                    return
            self._idle = 0 if busy else self._idle + 1
            took = self._env.boot() - began
            changed = await self._wait()
            now = self._env.boot()
            if now >= whole_at or (changed is None and now >= blind_at):
                whole_at, blind_at = now + WHOLE_S, now + max(_BLIND_S, _BLIND_SHARE * took)
                changed = None
            elif changed is None:
                changed = set()
            self._tell(changed)

    async def _pass(self, pair: Pair) -> bool:
        """One sync; whether it did anything. What it was to look at stays wanted when it fails."""
        wanted, pair.paths = pair.paths, set()
        if wanted is not None and not wanted and not self._options.pull:
            return False
        try:
            paths = None if wanted is None else sorted(wanted)
            report = await sync(pair.namespace, pair.tree, self._options, paths=paths)
        except (TryAgain, StoreFull) as error:
            pair.add(wanted)
            self._trouble += 1
            self._on_error(pair, error)
            return False
        except BaseException:
            pair.add(wanted)
            raise
        self._trouble = 0
        if report.reset:
            pair.paths = None
        if not report.idle or report.skipped:
            self._on_pass(pair, report)
        return not report.idle

    async def _wait(self) -> set[str] | None:
        if self._trouble:
            pause = min(2.0**self._trouble, _TROUBLE_MAX_S) * (0.5 + self._env.random() / 2)
            await self._stop.wait(pause)
            return await self._changes.wait(0)
        pause = IDLE_POLL_S if self._idle > _IDLE_TURNS else POLL_S
        return await self._changes.wait(pause)

    def _tell(self, changed: set[str] | None) -> None:
        """Give each pair what changed in its tree."""
        for pair in self._pairs:
            lead = pair.below + "/" if pair.below else ""
            mine = None if changed is None else {path[len(lead) :] for path in changed if self._owner(path) is pair}
            pair.add(mine)

    def _owner(self, path: str) -> Pair | None:
        owners = [pair for pair in self._pairs if not pair.below or path.startswith(pair.below + "/")]
        return max(owners, key=lambda pair: len(pair.below), default=None)
