"""Writes ``docs/reference/cli.md`` from the command tree itself: ``python docs/generate_cli.py``.

Run it after changing a command; a test compares the page with what this makes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from swampstore_cli.options import _COMMON
from swampstore_cli.tree import app

PAGE = Path(__file__).parent / "reference" / "cli.md"

_HEAD = """\
# The `swamp` command

<!-- Made by docs/generate_cli.py from the commands themselves. Change them, then run it. -->

Every command prints its result on standard output and everything else (notes, progress, errors) on standard error.
With `--json` the result is one JSON document, and an error is one line `{"error": ..., "code": ..., "hint": ...}` on
standard error. The codes are in [errors](errors.md), where settings come from in [configuration](configuration.md).

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error; the message names it, the hint says what to do |
| 2 | wrong usage: the same call will always fail |
| 3 | conflict: somebody else was first, or what is there is not what was expected |
| 75 | nothing was decided: the store did not answer, or a deadline passed; trying again may succeed |
| 76 | audit records wait on this machine for the store; they are kept, and delivered later |
| 130 | interrupted by Ctrl-C |
| 141 | the reader of the output went away (`swamp object list \\| head`) |
| 143 | terminated (SIGTERM); `compact --watch` ends its round and exits with 0 |

`swamp --version` shows the version, `swamp --install-completion` teaches the shell to complete commands and options,
and `SWAMP_DEBUG=1` in the environment shows the traceback of an error. An option with an empty value is refused (exit code
2): `--if-version "$V"` with a `V` that was never set is a mistake, not a write without a condition. Only `--text` may be
empty. What is printed to an output that the caller has closed (`>&-`) is lost, and changes no exit code; to read from a closed
input is wrong usage (2).
"""


def page() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    leaves = list(_leaves(root, typer.Context(root, info_name="swamp")))
    parts = [_HEAD, _common(leaves[0][1])]
    parts += [f"- [`{path}`](#{_anchor(path)})\n" for path, _ in leaves]
    parts.append("\n")
    parts += [_section(path, command) for path, command in leaves]
    return "".join(parts).rstrip("\n") + "\n"


def _leaves(group: Any, context: Any) -> Iterator[tuple[str, Any]]:
    """``(path, command)`` of every command that does something, in the order of the help."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield from _leaves(command, inner)
        else:
            yield inner.command_path, command


def _anchor(heading: str) -> str:
    return heading.replace(" ", "-")


def _common(command: Any) -> str:
    rows = _table(param for param in command.params if param.name in _COMMON)
    return f"\n## Options of every command\n\n{rows}\n## Commands\n\n"


def _section(path: str, command: Any) -> str:
    own = [param for param in command.params if param.name not in _COMMON]
    names = [_argument(param) for param in own if param.param_type_name == "argument"]
    usage = " ".join([path, *names, "[OPTIONS]"])
    text = re.sub(
        r"(swamp(?: [a-z]+)+(?: --[a-z-]+)*|(?<!\S)--[a-z][a-z-]+)", r"`\1`", inspect.cleandoc(command.help or "")
    )
    examples = inspect.cleandoc((command.epilog or "").replace("\b", "").strip().removeprefix("Examples:"))
    table = f"\n{_table(own)}" if own else ""
    return f"## {path}\n\n```text\n{usage}\n```\n\n{text}\n{table}\n```sh\n{examples}\n```\n\n"


def _argument(param: Any) -> str:
    return param.metavar if param.required else f"[{param.metavar}]"


def _table(params: Any) -> str:
    rows = [f"| {_named(param)} | {_told(param)} |\n" for param in params]
    return "".join(["| option | meaning |\n|---|---|\n", *rows])


def _named(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_argument(param)}`"
    metavar = f" {param.metavar}" if param.metavar else ""
    return ", ".join(f"`{name}{metavar}`" for name in param.opts)


def _told(param: Any) -> str:
    text = str(param.help or "").replace("|", "\\|")
    default = param.default
    shown = isinstance(default, int | float) and not isinstance(default, bool)
    return f"{text} Default: {default:g}." if shown else text


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")  # noqa: T201
