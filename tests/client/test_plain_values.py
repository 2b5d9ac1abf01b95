"""What is of a subclass of ``str`` (a member of an enum) or of ``bytes`` is taken everywhere, as the plain value it holds."""

from __future__ import annotations

import enum
from pathlib import Path

import pytest

import swampstore


class Named(enum.StrEnum):
    A = "a"


class Old(str, enum.Enum):  # noqa: UP042 (its text is not its value)
    A = "a"


class Word(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "other"


class Data(bytes):
    def __bytes__(self) -> bytes:
        return b"other"


@pytest.mark.parametrize("key", [Named.A, Old.A, Word("a")], ids=["StrEnum", "Enum", "subclass"])
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("lanes", ["on", "off"])
def test_subclasses_are_taken_everywhere(lanes: str, warm: bool, key: str, tmp_path: Path) -> None:
    """Whether the lane is open (``warm``: the short way) or not."""
    with swampstore.open(f"file://{tmp_path}?lanes={lanes}&durability=buffered") as store:
        ns = store.namespace("n")
        data, held = Data(b"x"), []
        if warm:
            ns.put("warm", b"")
        ns.put(key, data)
        held.append(ns.read("a"))
        ns.put(key, data, content_type=Word("text/plain"), tags={Word("kind"): Word("b")})
        entry = ns.get(key)
        assert entry is not None
        assert (entry.key, entry.content_type, entry.tags) == ("a", "text/plain", {"kind": "b"})
        ns.put_many({key: Data(b"y")})
        held.append(ns.read(key))
        ns.update(key, lambda old: Data(old + b"z"))
        held.append(ns.read("a"))
        ns.update([key, "b"], lambda both: {key: both["a"] + b"2", "b": data})
        held += [ns.read("a"), ns.read("b")]
        assert held == [b"x", b"y", b"yz", b"yz2", b"x"]
        ns.put(key, Word("text"), if_version=ns.get("a").version)  # type: ignore[union-attr]
        assert ns.read("a") == b"text"
        ns.delete(key)
        assert ns.get("a") is None
        ns.stream(key).append([data, Word("w")])
        assert [record.data for record in ns.stream("a").read()] == [b"x", b"w"]
        with ns.lock(key) as lock:
            lock.put(key, data)
        assert store.namespace(key)._core is store.namespace("a")._core
