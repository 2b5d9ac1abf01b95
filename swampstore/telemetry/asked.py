"""Whether the user wants to be told: the environment is looked at when a store is opened. Costs nothing when not.

``SWAMPSTORE_METRICS`` names a file or an address on loopback (:mod:`.metrics`); ``SWAMPSTORE_OTEL`` is ``1`` for spans and
``0`` for none. Unset, a program that has loaded OpenTelemetry's SDK gets spans: it traces already.

Invariant: trouble with them never keeps a store from being opened; it is logged once.
"""

from __future__ import annotations

import logging
import os
import sys

from swampstore.errors import SwampError

METRICS_VARIABLE = "SWAMPSTORE_METRICS"
SPANS_VARIABLE = "SWAMPSTORE_OTEL"

_log = logging.getLogger("swampstore.telemetry")
_done: set[str] = set()


def start_what_was_asked_for() -> None:
    """Start metrics and spans as the environment says, once per process."""
    target = os.environ.get(METRICS_VARIABLE, "")
    if target and target not in _done:
        _done.add(target)
        from swampstore.telemetry import metrics

        try:
            metrics.start(target)
        except (SwampError, OSError) as error:
            _log.warning("no metrics: %s=%s: %s", METRICS_VARIABLE, target, _told(error))
    wanted = os.environ.get(SPANS_VARIABLE, "")
    traces_already = wanted != "0" and "opentelemetry.sdk.trace" in sys.modules
    if (wanted not in ("", "0") or traces_already) and "spans" not in _done:
        _done.add("spans")
        from swampstore.telemetry import spans

        try:
            spans.start()
        except SwampError as error:
            _log.warning("no spans: %s", _told(error))


def _told(error: Exception) -> str:
    hint = getattr(error, "hint", "")
    return f"{error} ({hint})" if hint else str(error)


def forget() -> None:
    """In a forked child: what was started has stayed with the parent."""
    _done.clear()
