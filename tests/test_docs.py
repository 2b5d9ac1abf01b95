"""The pages are true: their code runs, their commands print what they say, their links lead somewhere.

Blocks of a page run in order and share one namespace and one folder, so a page reads as one session. In ``console``
blocks ``$`` begins a command, the lines below it are its output (both streams), and ``...`` stands for anything.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import swampstore
from swampstore import errors, limits
from swampstore_cli import config
from swampstore_cli.main import main
from tests.servers import AWS_ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
SHELL = re.compile(r"[|<>&;$*`]")
INTERNAL = {"busy", "segment-gone", "run-gone", "commit-conflict", "left-alone"}


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    fence = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [Block(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in fence.finditer(text)]


def read(page: Path) -> str:
    return page.read_text("utf-8")


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def having(*kinds: str) -> list[Path]:
    return [page for page in PAGES if any(block.kind in kinds for block in blocks(read(page)))]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new user's repo to work in; stores beside it."""
    for name in list(os.environ):
        if name.startswith(("SWAMP_", "AWS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "repo"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


# --- code and commands -----------------------------------------------------------------------------------------------


def a_bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket ``my-bucket`` of the pages, new for each, on a server of the tests."""
    moto = request.getfixturevalue("moto")
    for name, value in (AWS_ENVIRONMENT | {"AWS_ENDPOINT_URL_S3": moto.endpoint}).items():
        monkeypatch.setenv(name, value)
    moto.client.create_bucket(Bucket="my-bucket")
    for item in moto.client.list_objects_v2(Bucket="my-bucket").get("Contents", ()):
        moto.client.delete_object(Bucket="my-bucket", Key=item["Key"])


@pytest.mark.parametrize("page", having("python", "console"), ids=shown)
def test_blocks_run(page: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if any("setup s3" in block.text for block in blocks(read(page)) if block.kind == "console"):
        a_bucket(request, monkeypatch)
    space: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(read(page)):
        if block.kind == "python":
            compiled = compile("\n" * block.line + block.text, shown(page), "exec")
            exec(compiled, space)
        elif block.kind == "console":
            for command, expected in commands(block.text):
                got = carried_out(command, monkeypatch)
                assert like(expected, got), f"{shown(page)}:{block.line}: $ {command}\n{got}\nis not like\n{expected}"


def commands(text: str) -> Iterator[tuple[str, str]]:
    """``(command, expected output)`` of each ``$`` of a console block."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"a console block begins with a command, not with {parts[0]!r}"
    yield from zip(parts[1::2], parts[2::2], strict=True)


def carried_out(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints; plain ``swamp`` commands run in this process, which is ten times as fast."""
    words = shlex.split(command)
    if words[0] == "swamp" and not SHELL.search(command):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        taken = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(taken), contextlib.redirect_stderr(taken):
            main(words[1:])
        assert isinstance(taken.buffer, io.BytesIO)
        return taken.buffer.getvalue().decode()
    if words[0] == "cd":
        monkeypatch.chdir(words[1])
        return ""
    done = subprocess.run(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False, text=True
    )
    return done.stdout


def like(expected: str, got: str) -> bool:
    """Whether ``got`` is ``expected``; ``...`` stands for the rest of a line or, alone on a line, for any lines."""

    def tidy(text: str) -> str:
        return "\n".join(re.sub(r"[ \t]+", " ", line).strip() for line in text.strip().splitlines())

    lines = [
        ".*" if line == "..." else "[^\n]*?".join(re.escape(part) for part in line.split("..."))
        for line in tidy(expected).split("\n")
    ]
    return re.fullmatch("\n".join(lines), tidy(got), re.DOTALL) is not None


def test_the_comparison_can_fail() -> None:
    assert like("a ... c\n", "a  b c\n")
    assert like("a\n...\nd\n", "a\nb\nc\nd\n")
    assert not like("a ... c\n", "a b\nc\n")
    assert not like("a b\n", "a c\n")
    assert not like("a\n", "a\nb\n")


@pytest.mark.parametrize("page", having("yaml", "json"), ids=shown)
def test_configuration_is_valid(page: Path, tmp_path: Path) -> None:
    for block in blocks(read(page)):
        if block.kind == "yaml":
            assert config.parse_section(block.text, tmp_path / ".swamp.yaml") is not None
        elif block.kind == "json":
            json.loads(block.text)


# --- links -----------------------------------------------------------------------------------------------------------


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(read(page)), re.MULTILINE):
        bare = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", bare).replace(" ", "-")
        number = 0
        while (name := f"{anchor}-{number}" if number else anchor) in found:
            number += 1
        found.add(name)
    return found


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(read(page)))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{shown(page)}: {link}"
        assert target.is_relative_to(ROOT), f"{shown(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{shown(page)}: {link}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target in PAGES and target not in reached:
                waiting.append(target)
    assert set(PAGES) == reached


def test_what_the_code_cites_of_the_design_page_is_there() -> None:
    there = anchors(DOCS / "explanation" / "design.md")
    cited = 0
    for file in (ROOT / "swampstore").rglob("*.py"):
        for passage in re.findall(r"design page, ((?:\"[^\"]+\"[^\".;]{0,20})+)", read(file)):
            for name in re.findall(r'"([^"]+)"', passage):
                cited += 1
                assert name.lower().replace(" ", "-") in there, f"{shown(file)} cites {name!r}"
    assert cited > 5


# --- pages against the code ------------------------------------------------------------------------------------------


def test_the_cli_page_is_current() -> None:
    made = runpy.run_path(str(DOCS / "generate_cli.py"))["page"]()
    assert read(DOCS / "reference" / "cli.md") == made, "run: python docs/generate_cli.py"


def test_the_examples_of_the_format_page_are_current() -> None:
    text = read(DOCS / "reference" / "format.md")
    assert runpy.run_path(str(DOCS / "generate_examples.py"))["filled"](text) == text, (
        "run: python docs/generate_examples.py"
    )


def rows(page: Path, columns: int) -> list[list[str]]:
    """The rows of all tables of a page that have so many columns, without headings and code marks."""
    found = []
    for line in read(page).splitlines():
        cells = [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == columns and not set(line) <= set("|- :"):
            found.append(cells)
    return found


def test_the_errors_page_is_complete() -> None:
    def below(kind: type[errors.SwampError]) -> Iterator[type[errors.SwampError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    for module in pkgutil.walk_packages(swampstore.__path__, "swampstore."):
        if ".testing" not in module.name:
            importlib.import_module(module.name)
    ours = [kind for kind in below(errors.SwampError) if kind.__module__.startswith("swampstore.")]
    inner = {kind.code for kind in ours if kind.__module__ != "swampstore.errors"}
    table = {row[0]: row for row in rows(DOCS / "reference" / "errors.md", 4)}
    for kind in below(errors.SwampError):
        if kind.__module__ == "swampstore.errors":
            row = table.pop(kind.__name__, None)
            assert row is not None, f"{kind.__name__} is missing"
            assert row[1:3] == [kind.code, str(kind.exit_code)], row
            assert len(row[3]) > 20, f"{kind.__name__}: say what to do"
    assert set(table) <= {"class"}, "classes that are not there"
    assert inner <= INTERNAL, "an error of a lower module that has no page"
    assert all(f"`{code}`" in read(DOCS / "reference" / "errors.md") for code in inner)


def test_limits_are_those_of_the_code() -> None:
    checked = 0
    for name, value, _ in rows(DOCS / "reference" / "format.md", 3):
        if name.isupper() and hasattr(limits, name):
            checked += 1
            assert eval(value.replace(",", "_").split("=")[0]) == getattr(limits, name), name
    assert checked > 20


def parameters(call: Any) -> str:
    """A call's parameters as the page shows them: names and defaults, no annotations."""
    given = inspect.signature(call).parameters.values()
    plain = [one.replace(annotation=inspect.Parameter.empty) for one in given if one.name != "self"]
    return str(inspect.Signature(plain))


def public(holder: type | ModuleType) -> Iterator[tuple[str, Any]]:
    for name, member in vars(holder).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield name, member


@pytest.mark.parametrize(
    "name", ["Datastore", "Namespace", "Snapshot", "DataItem", "Stream", "StreamView", "HeldLock", "Queue", "Place"]
)
def test_the_api_page_has_every_method_as_it_is(name: str) -> None:
    text = read(DOCS / "reference" / "python-api.md")
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"no section for {name}"
    for method, member in public(getattr(swampstore, name)):
        call = method if isinstance(member, property) else method + parameters(inspect.unwrap(member))
        assert f"`{call}`" in section[1], f"{name}: `{call}` is missing"


def test_the_api_page_names_everything_public() -> None:
    text = read(DOCS / "reference" / "python-api.md")
    kinds = [name for name in swampstore.__all__ if not name.startswith("__")]
    missing = [
        name
        for name in kinds
        if f"`{name}`" not in text and f"## {name}" not in text and f"swampstore.{name}(" not in text
        and not (inspect.isclass(kind := getattr(swampstore, name)) and issubclass(kind, errors.SwampError))
    ]  # fmt: skip
    assert not missing
    assert f"swampstore.open{parameters(swampstore.open)}" in text
    assert f"swampstore.open_async{parameters(swampstore.open_async)}" in text
    assert builtins.open is not swampstore.open


def test_the_configuration_page_names_every_setting() -> None:
    text = read(DOCS / "reference" / "configuration.md")
    variables = set(re.findall(r"SWAMP_[A-Z_]+", read(Path(config.__file__)))) | {"SWAMP_DEBUG"}
    assert {name for name in variables | set(config.KEYS) if f"`{name}`" not in text} == set()


def test_decisions_are_listed_and_name_tests_that_exist() -> None:
    known = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in (file.name, *re.findall(r"def (test_\w+)", read(file)))
    }
    overview = read(DOCS / "decisions" / "README.md")
    records = sorted(DOCS.glob("decisions/0*.md"))
    assert len(records) >= 6
    for record in records:
        assert record.name in overview
        named = set(re.findall(r"`(?:[\w/]+/)?(test_\w+(?:\.py)?)`", read(record)))
        assert named, f"{record.name} names no test"
        assert named <= known, f"{record.name}: {named - known}"
