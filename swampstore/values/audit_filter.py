"""Which audit records are wanted: conditions on their fields, as texts such as ``provider=a`` or ``cost.total>=10``.

A field is reached by its path (``cost.total``). A value is compared as what it looks like: a number with numbers, ``true``,
``false`` and ``null`` as such, everything else (or what stands in double quotes) as text. A record without the field
matches ``!=`` only.

Invariants: two values that cannot be compared do not match; no condition raises while records are read.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from swampstore.errors import Misuse

_CONDITION = re.compile(r"([^=!<>~]+)(!=|<=|>=|==?|<|>|~)(.*)", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda held, wanted: str(wanted) in held,
}
_NONE = object()


class Condition(NamedTuple):
    """``path`` leads to the field, ``sign`` is one of ``= != < <= > >= ~`` (contains)."""

    path: tuple[str, ...]
    sign: str
    value: Any

    def matches(self, data: object) -> bool:
        """Whether the record with ``data`` is wanted."""
        held = _field(data, self.path)
        if held is _NONE:
            return self.sign == "!="
        if self.sign == "~" and not isinstance(held, str | list | dict):
            return False
        if self.sign != "~" and isinstance(held, bool) is not isinstance(self.value, bool):
            return self.sign == "!="
        try:
            return bool(_COMPARE[self.sign](held, self.value))
        except TypeError:
            return False


def parse_condition(text: str) -> Condition:
    """The condition that ``text`` states. Raises ``Misuse``."""
    found = _CONDITION.fullmatch(text)
    if found is None or not found[1].strip():
        raise Misuse(f"{text!r} is no condition", hint="such as provider=a, cost>=10, user.name!=root, text~timeout")
    return Condition(
        tuple(found[1].strip().split(".")), "=" if found[2] == "==" else found[2], _value(found[3].strip())
    )


def all_match(conditions: Sequence[Condition], data: object) -> bool:
    """Whether ``data`` meets every condition."""
    return all(one.matches(data) for one in conditions)


def _value(text: str) -> Any:
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return text
    return text if isinstance(value, list | dict) else value


def _field(data: object, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(data, dict) or name not in data:
            return _NONE
        data = data[name]
    return data
