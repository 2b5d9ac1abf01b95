"""The YAML that ``metadata.yaml`` uses: maps, lists and scalars; nothing that hostile bytes could make grow.

Read from the parser's events instead of its composer, because the composer recurses in C and a deep document ends the
process. Written in block style, by few rules of its own, so that every reader of YAML reads back the same values.

Invariants: at most ``DEPTH`` levels; no aliases, no repeated fields, one document; every scalar that is read is text as
written; a text that could be taken for anything else is written in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

DEPTH = 32
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./@+-]*")
_NOT_TEXT = frozenset({"", "y", "n", "yes", "no", "true", "false", "on", "off", "null"})
"""Bare words that a reader of YAML 1.1 takes for something else, in lower case."""
_SIMPLE_KEY_CHARS = 100
"""Longer names of fields are written as ``? name``, because readers give up looking for the colon at 1,024."""


# --- writing -----------------------------------------------------------------------------------------------------------


def dump(fields: dict[str, Any]) -> str:
    """A map of texts, whole numbers, finite floats, ``True``, ``False``, ``None``, lists and maps as a document."""
    return "".join(_map_lines(fields, "")) if fields else "{}\n"


def _map_lines(fields: dict[str, Any], indent: str) -> Iterator[str]:
    for name, value in fields.items():
        key = _text(name)
        head = f"{indent}{key}:" if len(key) <= _SIMPLE_KEY_CHARS else f"{indent}? {key}\n{indent}:"
        yield from _value_lines(head, value, indent + "  ")


def _value_lines(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        yield f"{head}\n"
        yield from _map_lines(value, indent)
    elif isinstance(value, list) and value:
        yield f"{head}\n"
        for item in value:
            yield from _value_lines(f"{indent}-", item, indent + "  ")
    else:
        yield f"{head} {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        plain = repr(value)
        return plain if "." in plain else plain.replace("e", ".0e")
    if value is None:
        return "null"
    return "{}" if value == {} else "[]" if value == [] else str(value)


def _text(text: str) -> str:
    """``text`` bare where it cannot be taken for anything else, else in double quotes."""
    if _BARE.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char == " " or (char.isprintable() and char != "\ufeff"):
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


# --- reading -----------------------------------------------------------------------------------------------------------


def load(text: str) -> Any:
    """The one document in ``text``: ``dict``, ``list`` or ``str``. Raises ``ValueError``."""
    import yaml

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


def check_depth(text: str) -> None:
    """Raise ``ValueError`` for a document of any YAML that nests too deeply for a recursive reader, or is none."""
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"it is nested more than {DEPTH} levels deep")


def _contents(text: str) -> Iterator[Any]:
    """The events of the contents, without those of their frame; refused where they nest too deeply."""
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
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
    import yaml

    if isinstance(event, yaml.ScalarEvent):
        return event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_build(event, events))
        return items
    return _build_map(events)


def _build_map(events: Iterator[Any]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            raise ValueError("a field's name is not a text")
        if event.value in found:
            raise ValueError(f"the field {event.value[:50]!r} comes twice")
        found[event.value] = _build(next(events), events)
    return found
