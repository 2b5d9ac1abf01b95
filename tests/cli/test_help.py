"""Every command explains itself, and loads nothing that it does not need."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module

import pytest
from typer.testing import CliRunner

from swampstore.version import __version__
from swampstore_cli.lazy import Lazy
from swampstore_cli.tree import TREE, app
from tests.cli.conftest import Swamp


def commands(tree: Mapping[str, Lazy], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Lazy]]:
    for name, entry in tree.items():
        yield (*above, name), entry
        yield from commands(entry.below or {}, (*above, name))


ALL = list(commands(TREE))
LEAVES = [path for path, entry in ALL if entry.below is None]
GROUPS = [path for path, entry in ALL if entry.below is not None]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_command_says_what_it_does_with_an_example_and_the_common_options(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    assert f"swamp {' '.join(path)}" in done.output.partition("Examples:")[2]
    for option in ("--store", "--namespace", "--json", "--repo-dir", "--timeout"):
        assert option in done.output


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_a_group_lists_its_commands(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"])
    assert done.exit_code == 0
    below = next(entry.below for found, entry in ALL if found == path)
    for name, entry in (below or {}).items():
        assert re.search(rf"^  {name} +{re.escape(entry.help)}$", done.output, re.MULTILINE)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_examples_name_options_that_exist(path: tuple[str, ...]) -> None:
    output = CliRunner().invoke(app, [*path, "--help"]).output
    options, _, examples = output.partition("Examples:")
    used = set(re.findall(r"(?<!\w)--[a-z][a-z-]*", examples))
    assert used <= set(re.findall(r"--[a-z][a-z-]*", options))


def test_a_commands_module_holds_one_command() -> None:
    for _, entry in ALL:
        if entry.module:
            assert len(import_module(entry.module).app.registered_commands) == 1


def test_the_version(swamp: Swamp, process: Swamp) -> None:
    assert swamp("--version").out == process("--version").out == f"swamp {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("object",), ("datastore", "namespace")])
def test_without_a_command_the_help_is_shown_as_wrong_usage(swamp: Swamp, arguments: tuple[str, ...]) -> None:
    done = swamp(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Commands:" in done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(swamp: Swamp, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    line = [sys.executable, "-m", "swampstore_cli", "--show-completion", shell]
    done = subprocess.run(line, capture_output=True, text=True, timeout=30, check=True)
    assert "_SWAMP_COMPLETE" in done.stdout


def test_completion_offers_commands(monkeypatch: pytest.MonkeyPatch, process: Swamp) -> None:
    monkeypatch.setenv("_SWAMP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "swamp object ")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert {"put", "get", "list", "delete"} <= set(process().out.split())


SLOW = "boto3 botocore aiobotocore pydantic rich yaml sqlite3 asyncio ijson"


@pytest.mark.parametrize("arguments", [("--help",), ("object", "put", "k", "f"), ("object", "get", "k")])
def test_short_commands_import_nothing_slow(store: object, swamp: Swamp, arguments: tuple[str, ...]) -> None:
    open("f", "w").close()
    assert swamp("object", "put", "k", "f").code == 0
    script = (
        "import sys\nfrom swampstore_cli.main import main\n"
        f"code = main({list(arguments)!r})\n"
        f"print('slow:', [name for name in {SLOW!r}.split() if name in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == "slow: []\n"
