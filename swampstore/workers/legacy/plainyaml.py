"""The YAML that legacy metadata uses: maps, lists and scalars as text; nothing that hostile bytes could make grow.

Built from the parser's events instead of its composer, because the composer recurses in C and a deep document ends the
process.

Invariants: at most ``DEPTH`` levels; no aliases, no repeated fields, one document; every scalar is text as written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

DEPTH = 32
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def load(text: str) -> Any:
    """The one document in ``text``: ``dict``, ``list`` or ``str``. Raises ``ValueError``."""
    try:
        events = _contents(text)
        first = next(events, None)
        if first is None:
            raise ValueError("it is empty")
        found = _build(first, events)
        if next(events, None) is not None:
            raise ValueError("it holds more than one document")
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error
    return found


def _contents(text: str) -> Iterator[Any]:
    """The events of the contents, without those of their frame; refused where they nest too deeply."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it uses an alias")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} levels deep")
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _build(event: Any, events: Iterator[Any]) -> Any:
    if isinstance(event, yaml.ScalarEvent):
        return event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_build(event, events))
        return items
    return _build_map(events)


def _build_map(events: Iterator[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            raise ValueError("a field's name is not a text")
        if event.value in found:
            raise ValueError(f"the field {event.value[:50]!r} comes twice")
        found[event.value] = _build(next(events), events)
    return found
