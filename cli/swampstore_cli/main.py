"""The ``swamp`` command: runs a command of :mod:`swampstore_cli.tree` and turns every ending into an exit code.

Exit codes: 0 ok, 1 error, 2 usage, 3 conflict, 75 try again (no answer in time), 130 interrupted (Ctrl-C), 143 terminated
(SIGTERM), 141 when the reader of the output went away.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

INTERRUPTED_EXIT = 130
TERMINATED_EXIT = 143
_SIGNALLED = {INTERRUPTED_EXIT: "interrupted\n", TERMINATED_EXIT: "terminated\n"}


def run() -> None:
    """The entry point of the installed command."""
    try:
        signal.signal(signal.SIGTERM, _terminated)
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED_EXIT
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    _leave(code)


def main(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    import typer

    from swampstore.errors import SwampError
    from swampstore_cli import output
    from swampstore_cli.lazy import plain
    from swampstore_cli.tree import app

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    json = "--json" in arguments
    debug = bool(os.environ.get("SWAMP_DEBUG"))
    if debug:
        sys.excepthook = _masked_traceback
    command = plain(typer.main.get_command(app))
    try:
        done = _called(command, arguments)
    except SwampError as error:
        if debug:
            raise
        output.problem(**error.describe(), json=json)
        return error.exit_code
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "swamp"
        output.problem(error.format_message(), "usage", f"see: {path} --help", json=json)
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED_EXIT
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        output.problem(f"{where}{error.strerror or error}", "os-error", "", json=json)
        return 1
    except Exception as error:
        if debug:
            raise
        output.problem(
            f"unexpected {type(error).__name__}: {error}",
            "unexpected",
            "this is a defect; run again with SWAMP_DEBUG=1 for the traceback to report",
            json=json,
        )
        return 1
    return done if isinstance(done, int) else 0


def _called(command: Any, arguments: Sequence[str]) -> Any:
    """What the command returns, once all that it printed is out."""
    from swampstore_cli import output

    try:
        done = command.main(args=list(arguments), prog_name="swamp", standalone_mode=False)
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # typer's way to end when nobody reads what it prints
            raise SystemExit(output.READER_GONE_EXIT) from None
        raise
    output.flush()
    return done


def _masked_traceback(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    """A traceback to be passed on: without passwords in URLs that other libraries repeat."""
    import traceback

    from swampstore.stores.s3_faults import masked

    sys.stderr.write(masked("".join(traceback.format_exception(error))))


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED_EXIT)


def _leave(code: int) -> None:
    """End the process with ``code``, even if the reader of the output has gone meanwhile."""
    if code in _SIGNALLED:
        sys.stderr.write(_SIGNALLED[code])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    _end(code)


def _end(code: int) -> NoReturn:
    """End as an interpreter does, without taking everything apart first: that is a fifth of a short command's time."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are not daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)
