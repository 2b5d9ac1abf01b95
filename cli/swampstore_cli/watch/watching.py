"""What both views begin with: how often to look, and at what."""

from __future__ import annotations

import os

from swampstore.errors import Misuse
from swampstore_cli.moments import pause_s
from swampstore_cli.session import Opened, Session
from swampstore_cli.watch.phases import PhaseTimes
from swampstore_cli.watch.sample import Watched

SHORTEST_S, LONGEST_S = 0.2, 3600.0
NAMESPACES = 20
_METRICS = "SWAMPSTORE_METRICS"


def interval_of(text: str) -> float:
    """Seconds between two looks. Raises ``Misuse``."""
    seconds = pause_s(text, "--interval")
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise Misuse(f"--interval {text}", hint="200ms to 1h")
    return seconds


def watched_of(session: Session, opened: Opened, metrics: str) -> list[Watched]:
    """The namespaces to watch: the one that was named, or all, up to a bound. Raises ``NotFound``, ``Misuse``."""
    names = opened.names(session.named) if session.named is None else [opened.existing(session.named)]
    if len(names) > NAMESPACES:
        raise Misuse(f"the store holds {len(names)} namespaces", hint="watch one of them with --namespace")
    source = metrics or os.environ.get(_METRICS, "")
    if source and "://" not in source and os.sep not in source and ":" in source:
        source = f"http://{source}/metrics"  # the address that the writers were told to serve at
    phases = PhaseTimes(source) if source else None  # of the processes that publish them: shown once, with the first
    return [Watched(opened.core.namespace(name), None if at else phases) for at, name in enumerate(names)]
