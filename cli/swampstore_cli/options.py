"""The options that every command has, and the decorator that gives them to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from swampstore_cli.config import Flags
from swampstore_cli.session import Session

Command = TypeVar("Command", bound=Callable[..., None])

_COMMON: dict[str, tuple[Any, Any]] = {
    "store": (
        Annotated[str | None, typer.Option("--store", metavar="URL", help="The store: a path or an s3:// URL.")],
        None,
    ),
    "namespace": (
        Annotated[str | None, typer.Option("--namespace", metavar="NS", help="The namespace in the store.")],
        None,
    ),
    "json": (
        Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")],
        False,
    ),
    "repo_dir": (
        Annotated[str | None, typer.Option("--repo-dir", metavar="DIR", help="The repo with .swamp.yaml and .swamp/.")],
        None,
    ),
    "timeout": (
        Annotated[
            float | None, typer.Option("--timeout", metavar="SECONDS", help="How long one request may be retried.")
        ],
        None,
    ),
}


def new_app() -> typer.Typer:
    """An app for one module of commands."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def command(app: typer.Typer, name: str, *, examples: str) -> Callable[[Command], Command]:
    """Make a function a command of ``app``: it gets a :class:`Session` first, then its own parameters.

    The docstring becomes the help, ``examples`` (one per line) are shown below it.
    """

    def decorate(function: Command) -> Command:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        taken = {parameter.name for parameter in own}  # a common option that the command has in a form of its own

        def call(**given: Any) -> None:
            common = {key: given.pop(key) for key in _COMMON if key not in taken}
            json = common.pop("json")
            function(Session(Flags(**common), json=json), **given)

        kind = inspect.Parameter.KEYWORD_ONLY
        common = [
            inspect.Parameter(key, kind, annotation=a, default=d) for key, (a, d) in _COMMON.items() if key not in taken
        ]
        parameters = [*(parameter.replace(kind=kind) for parameter in own), *common]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        shown = "\n".join(f"  {text.strip()}" for text in examples.strip().splitlines())
        app.command(name, help=inspect.getdoc(function), epilog=f"\b\nExamples:\n{shown}")(call)
        return function

    return decorate
