"""Nothing public is forgotten: every operation and every command is tried where it is killed, or named with where it is."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import swampstore.client
import swampstore_cli.commands
from tests.model.operations import COMMANDS, COMMANDS_THAT_READ, ELSEWHERE, READS, WRITES, Scene

ROOT = Path(__file__).resolve().parents[2]


def faces() -> Iterator[tuple[str, type, Callable[..., Any]]]:
    """``Class.method`` of everything that users of the blocking client call (its twin has the same: ``test_faces``)."""
    for found in pkgutil.iter_modules(swampstore.client.__path__):
        if "blocking" not in found.name:
            continue
        module = importlib.import_module(f"swampstore.client.{found.name}")
        for owner in vars(module).values():
            if inspect.isclass(owner) and owner.__module__ == module.__name__ and not owner.__name__.startswith("_"):
                for name, one in vars(owner).items():
                    if not name.startswith("_") and inspect.isfunction(one):
                        yield f"{owner.__name__}.{name}", owner, one


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the public operations that are called from now on."""
    met: set[str] = set()

    def noting(name: str, one: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(one)
        def call(*arguments: Any, **named: Any) -> Any:
            met.add(name)
            return one(*arguments, **named)

        return call

    for name, owner, one in list(faces()):
        monkeypatch.setattr(owner, one.__name__, noting(name, one))
    return met


def test_every_public_operation_is_tried_or_named(called: set[str]) -> None:
    public = {name for name, _, _ in faces()}
    assert len(public) > 80
    for act in (*WRITES.values(), *READS.values()):
        act(Scene().process())
    assert public - called - ELSEWHERE.keys() == set()
    assert ELSEWHERE.keys() <= public


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("lanes", [False, True])
def test_what_only_reads_changes_nothing(name: str, lanes: bool) -> None:
    """So that it need not be killed. A process that has written nothing has nothing to close either."""
    scene = Scene(lanes=lanes)
    ns = scene.process()
    scene.store.calls.clear()
    READS[name](ns)
    assert scene.store.changes == []


def test_every_command_is_listed() -> None:
    commands = {found.name for found in pkgutil.iter_modules(swampstore_cli.commands.__path__)}
    assert commands == COMMANDS.keys() | COMMANDS_THAT_READ
    assert not COMMANDS.keys() & COMMANDS_THAT_READ
    public = {name for name, _, _ in faces()}
    assert {found for found in COMMANDS.values() if "::" not in found} <= public


def test_what_is_tried_elsewhere_is_there() -> None:
    for found in (*ELSEWHERE.values(), *COMMANDS.values()):
        if "::" in found:
            file, _, test = found.partition("::")
            assert f"def {test}(" in (ROOT / file).read_text("utf-8"), found
