"""What a key is: a ``/``-separated UTF-8 path, the same bytes on every machine.

Invariants:
- A valid key maps to one path below a root and back, on POSIX: no empty, ``.`` or ``..`` part, no NUL, no backslash.
- Keys that hold a NUL are the library's own (conflict entries, streams); :func:`check_key` refuses them from callers
  and listings do not show them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from swampstore.errors import BadKey, BadName
from swampstore.limits import KEY_BYTES, NAMESPACE_CHARS

INTERNAL = "\0"
AUDIT_PREFIX = "\0audit\0"
AUDIT_KEY = re.compile(r"\x00audit\x00([^\x00-\x1f]+)\x00([0-9a-n][0-9a-f]{11})\x00([\x20-\x7e]+)")
"""The keys of audit records: topic, time, id (see :mod:`swampstore.values.audit`)."""
LAST_SUFFIX = "\U0010ffff" * (KEY_BYTES // 4 + 1)
"""``prefix + LAST_SUFFIX`` sorts after every key that begins with ``prefix``."""
_NAMESPACE_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@+")


def plain_text(text: str) -> str:
    """``text`` itself, or the plain string that a subclass of ``str`` (an enum's member, say) holds."""
    return str.__str__(text) if type(text) is not str and isinstance(text, str) else text


def check_key(key: str) -> str:
    """``key`` as a plain string if it is valid. Raises ``BadKey`` and says what is wrong."""
    problem = key_problem(key)
    if problem:
        raise BadKey(f"bad key {str(key)[:200]!r}: {problem}", hint="keys look like reports/2026/a.json")
    return key if type(key) is str else plain_text(key)


def key_problem(key: str) -> str:
    """Why ``key`` is not a valid key, or the empty string."""
    if not isinstance(key, str):
        return f"it is a {type(key).__name__}, not a string"
    if not key:
        return "it is empty"
    if "\0" in key:
        return "it holds a NUL"
    if "\\" in key:
        return "it holds a backslash"
    if "//" in key or key[0] == "/" or key[-1] == "/":
        return "it has an empty part (a leading, trailing or double slash)"
    if "." in key and any(part in (".", "..") for part in key.split("/")):
        return "it has a . or .. part"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    return f"it is {size} bytes, more than {KEY_BYTES}" if size > KEY_BYTES else ""


def encode_keys(keys: Sequence[str]) -> list[bytes]:
    """Each key as UTF-8. Raises ``BadKey`` for the first that :func:`check_key` refuses.

    Looks at all of them at once, with NULs round every part; one by one only when that shows something suspect: a part
    that is empty or begins with a dot, a backslash, a NUL too many.
    """
    try:
        joined = "\0".join(("", *keys, "")).encode()
    except (TypeError, UnicodeEncodeError):
        joined = b""
    encoded = joined.split(b"\0")[1:-1]
    parts = joined.replace(b"/", b"\0")
    good = len(encoded) == len(keys) and b"\0\0" not in parts and b"\0." not in parts and b"\\" not in joined
    if not good or max(map(len, encoded), default=0) > KEY_BYTES:
        return [check_key(key).encode() for key in keys]
    return encoded


def check_prefix(prefix: str) -> str:
    """``prefix`` itself if keys can start with it (it may be empty or end with a slash). Raises ``BadKey``."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def check_namespace(name: str) -> str:
    """``name`` as a plain string if it is a valid namespace: 1 to 64 of ``A-Za-z0-9._-@+``, not starting with a dot.

    Raises ``BadName``.
    """
    good = (
        isinstance(name, str) and 0 < len(name) <= NAMESPACE_CHARS and name[0] != "." and _NAMESPACE_CHARS >= set(name)
    )
    if not good:
        raise BadName(
            f"bad namespace {str(name)[:100]!r}",
            hint=f"a namespace is 1 to {NAMESPACE_CHARS} letters, digits or ._-@+ and does not start with a dot",
        )
    return plain_text(name)
