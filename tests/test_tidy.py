"""Style is a unit test: layers, sizes, docstrings, lazy imports, clock and dice, leftovers.

Each rule is a function from a parsed file to complaints, so that the rules themselves are tested on bad snippets below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 400
UNDOCUMENTED_STATEMENTS = 4

# Imports go to the same rank or below. The longest matching name counts.
RANKS = {
    "swampstore.errors": 0,
    "swampstore.limits": 0,
    "swampstore.version": 0,
    "swampstore.values": 0,
    "swampstore.env": 1,
    "swampstore.stores": 1,
    "swampstore.telemetry": 1,
    "swampstore.protocols": 2,
    "swampstore.workers": 3,
    "swampstore.testing": 4,
    "swampstore.client": 5,
    "swampstore": 5,
    "swampstore_cli": 6,
}
TESTING_USERS = ("swampstore.testing", "swampstore_cli")

S3_CLIENTS = {"boto3", "botocore", "aiobotocore", "s3transfer"}
S3_DRIVERS = re.compile(r"swampstore\.stores\.s3(\w*|\..*)$")

CLOCK_AND_DICE = {"time", "random", "secrets", "uuid"}
CLOCK_AND_DICE_CALLS = {
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "os.urandom", "os.getrandom", "os.getpid",
}  # fmt: skip
OUTSIDE_WORLD = ("swampstore.env", "swampstore.stores", "swampstore.telemetry", "swampstore.testing")

LEFTOVERS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:work|farm|root|home/\w+|Users/\w+)/")


class File(NamedTuple):
    """A Python file: its dotted module name, its text and its syntax tree."""

    module: str
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, module: str, text: str) -> File:
        return cls(module, text, ast.parse(text))


# --- the rules -------------------------------------------------------------------------------------------------------


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in packages)


def rank(module: str) -> int | None:
    """The layer of a module of this project, or ``None`` for somebody else's."""
    name = module
    while name:
        if name in RANKS:
            # A name below the top package that no layer claims is a layer somebody forgot to place.
            return None if name == "swampstore" != module and "." in module else RANKS[name]
        name = name.rpartition(".")[0]
    return None


def imported(node: ast.AST, modules: frozenset[str]) -> list[str]:
    """The dotted names an import statement brings in; ``from package import module`` counts as the module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = ("." * node.level) + (node.module or "")
        names = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in modules else base for name in names]
    return []


def check_layers(file: File, modules: frozenset[str]) -> Iterator[str]:
    own = rank(file.module)
    if own is None:
        yield f"{file.module} belongs to no layer: place it in RANKS"
        return
    for node in ast.walk(file.tree):
        for name in imported(node, modules):
            if name.startswith("."):
                yield f"relative import {name}"
            elif name.split(".")[0] in ("swampstore", "swampstore_cli"):
                other = rank(name)
                if other is None or other > own:
                    yield f"imports {name}, which is above it (layer {other} from layer {own})"
                elif within(name, ("swampstore.testing",)) and not within(file.module, TESTING_USERS):
                    yield f"imports {name}, which is for tests"


def at_start(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements carried out when the module is imported: not inside functions, not under TYPE_CHECKING."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        guarded = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for field in ("orelse",) if guarded else ("body", "orelse", "finalbody"):
            yield from at_start(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from at_start(handler.body)


def check_lazy_clients(file: File) -> Iterator[str]:
    everywhere = {name for node in ast.walk(file.tree) for name in imported(node, frozenset())}
    used = {name for name in everywhere if name.split(".")[0] in S3_CLIENTS}
    if used and not S3_DRIVERS.match(file.module):
        yield f"imports {', '.join(sorted(used))}: only the S3 drivers may"
    early = {name for node in at_start(file.tree.body) for name in imported(node, frozenset())}
    for name in sorted(early & used):
        yield f"imports {name} at start-up: import it inside the function that needs it"


def check_clock_and_dice(file: File) -> Iterator[str]:
    if not file.module.startswith("swampstore.") or within(file.module, OUTSIDE_WORLD):
        return
    for node in ast.walk(file.tree):
        for name in imported(node, frozenset()):
            if name.split(".")[0] in CLOCK_AND_DICE:
                yield f"imports {name}: clock and dice come from the env"
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in CLOCK_AND_DICE_CALLS:
            yield f"uses {ast.unparse(node)}: clock and dice come from the env"


def check_size(file: File) -> Iterator[str]:
    lines = file.text.count("\n")
    if lines > MAX_LINES:
        yield f"{lines} lines, more than {MAX_LINES}: split it by noun"


def statements(node: ast.AST) -> int:
    return sum(isinstance(child, ast.stmt) for child in ast.walk(node)) - 1


def is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split("[")[0].endswith("Protocol") for base in node.bases)


def check_docstrings(file: File, documented: frozenset[str]) -> Iterator[str]:
    """Modules always; of the library also public classes, and public functions longer than a few statements.

    A method that carries out one of a protocol (its name is in ``documented``) is described there.
    """
    if not ast.get_docstring(file.tree) and statements(file.tree) > 0:
        yield "no module docstring"
    if not file.module.startswith("swampstore.") or file.module.endswith("errors"):
        return
    for node in file.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node) and statements(node) > UNDOCUMENTED_STATEMENTS:
                yield f"class {node.name} has no docstring"
            yield from (f"{node.name}.{name}" for name in undocumented(node.body, documented))
    yield from undocumented(file.tree.body, frozenset())


def undocumented(body: list[ast.stmt], documented: frozenset[str]) -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if node.name not in documented and not ast.get_docstring(node) and statements(node) > UNDOCUMENTED_STATEMENTS:
            yield f"{node.name}() has no docstring"


def protocol_methods(files: list[File]) -> frozenset[str]:
    classes = [
        node for file in files for node in file.tree.body if isinstance(node, ast.ClassDef) and is_protocol(node)
    ]
    return frozenset(
        child.name
        for node in classes
        for child in node.body
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def check_text(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if LEFTOVERS.search(line):
            yield f"line {number}: a leftover: {line.strip()[:80]}"
        if MACHINE_PATHS.search(line):
            yield f"line {number}: a path of one machine: {line.strip()[:80]}"


# --- the project -----------------------------------------------------------------------------------------------------


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT)
    parts = relative.parts[1:] if relative.parts[0] == "cli" else relative.parts
    return ".".join(parts).removesuffix(".py").removesuffix(".__init__")


PRODUCT = sorted(path for folder in ("swampstore", "cli") for path in (ROOT / folder).rglob("*.py"))
OTHERS = sorted(path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py"))
PAGES = [
    *sorted(path for kind in ("*.md", "*.toml") for path in ROOT.glob(kind)),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "Makefile",
    ROOT / ".ci" / "run",
]
FILES = {path: File.parse(module_name(path), path.read_text("utf-8")) for path in PRODUCT + OTHERS}
MODULES = frozenset(file.module for file in FILES.values())
DOCUMENTED = protocol_methods(list(FILES.values()))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PRODUCT, ids=shown)
def test_product_file(path: Path) -> None:
    file = FILES[path]
    complaints = [
        *check_layers(file, MODULES),
        *check_lazy_clients(file),
        *check_clock_and_dice(file),
        *check_size(file),
        *check_docstrings(file, DOCUMENTED),
        *check_text(file.text),
    ]
    assert not complaints, f"{shown(path)}:\n  " + "\n  ".join(complaints)


@pytest.mark.parametrize("path", OTHERS, ids=shown)
def test_other_file(path: Path) -> None:
    file = FILES[path]
    complaints = [*check_size(file), *check_docstrings(file, frozenset()), *check_text(file.text)]
    assert not complaints, f"{shown(path)}:\n  " + "\n  ".join(complaints)


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_page(path: Path) -> None:
    complaints = list(check_text(path.read_text("utf-8")))
    assert not complaints, f"{shown(path)}:\n  " + "\n  ".join(complaints)


# --- the rules can fail ----------------------------------------------------------------------------------------------

KNOWN = frozenset({"swampstore.errors", "swampstore.client", "swampstore.workers", "swampstore.stores.memory"})


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("swampstore.values.delta", "import swampstore.stores.memory"),
        ("swampstore.values.delta", "from swampstore.env.base import Env"),
        ("swampstore.values.delta", "def f():\n    from swampstore.protocols.log import Log"),
        ("swampstore.stores.memory", "from swampstore import workers"),
        ("swampstore.protocols.log", "from swampstore import open"),
        ("swampstore.protocols.log", "from . import queue"),
        ("swampstore.workers.fold", "from swampstore.testing.faults import Faulty"),
        ("swampstore.client.blocking", "import swampstore.testing.faults"),
        ("swampstore.client.blocking", "import swampstore_cli.main"),
        ("swampstore.testing.faults", "from swampstore import open"),
        ("swampstore.errors", "from swampstore.utils import x"),
        ("swampstore.utils", "import os"),
    ],
)
def test_layers_are_enforced(module: str, line: str) -> None:
    assert list(check_layers(File.parse(module, line), KNOWN))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("swampstore.values.delta", "from swampstore import errors"),
        ("swampstore.workers.fold", "from swampstore.protocols.log import Log\nimport os"),
        ("swampstore", "from swampstore.client import open"),
        ("swampstore_cli.main", "import swampstore\nfrom swampstore.testing import legacy_tree"),
        ("swampstore.testing.faults", "from swampstore.workers.fold import fold"),
    ],
)
def test_imports_downwards_are_fine(module: str, line: str) -> None:
    assert not list(check_layers(File.parse(module, line), KNOWN))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("swampstore.stores.s3", "import boto3"),
        ("swampstore.stores.s3_async", "from aiobotocore.session import get_session"),
        ("swampstore.stores.s3", "try:\n    import botocore\nexcept ImportError:\n    pass"),
        ("swampstore.stores.s3", "class A:\n    import boto3"),
        ("swampstore.client.opening", "def f():\n    import boto3"),
    ],
)
def test_s3_clients_must_be_lazy(module: str, line: str) -> None:
    assert list(check_lazy_clients(File.parse(module, line)))


@pytest.mark.parametrize(
    "line",
    [
        "def f():\n    import boto3",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import boto3",
        "import os",
    ],
)
def test_lazy_s3_clients_are_fine(line: str) -> None:
    assert not list(check_lazy_clients(File.parse("swampstore.stores.s3.blocking", line)))


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "from random import random",
        "def f():\n    import uuid",
        "import datetime\nx = datetime.datetime.now()",
        "from datetime import datetime\nx = datetime.utcnow()",
        "import os\nx = os.urandom(8)",
    ],
)
def test_clock_and_dice_are_banned(line: str) -> None:
    assert list(check_clock_and_dice(File.parse("swampstore.protocols.log", line)))
    assert not list(check_clock_and_dice(File.parse("swampstore.env.blocking", line)))


def test_size_and_docstrings_are_enforced() -> None:
    long = "def f():\n" + "    x = 1\n" * (UNDOCUMENTED_STATEMENTS + 1)
    method = "class A:\n    '''Doc.'''\n" + "".join(f"    {line}\n" for line in long.splitlines())
    for text in ("x = 1\ny = 2", long, f"'''Doc.'''\n{long}", f"'''Doc.'''\n{method}"):
        assert list(check_docstrings(File.parse("swampstore.values.a", text), frozenset())), text
    assert not list(check_docstrings(File.parse("swampstore.values.a", f"'''Doc.'''\n{method}"), frozenset({"f"})))
    assert not list(check_docstrings(File.parse("swampstore.values.a", ""), frozenset()))
    assert list(check_size(File.parse("swampstore.values.a", "x = 1\n" * (MAX_LINES + 1))))
    assert not list(check_size(File.parse("swampstore.values.a", "x = 1\n" * MAX_LINES)))


def test_leftovers_and_machine_paths_are_found() -> None:
    assert list(check_text("x = 1  # TO" + "DO: later"))
    assert list(check_text("open('" + "/wo" + "rk/thing')"))
    assert list(check_text("see /ho" + "me/somebody/notes"))
    assert not list(check_text("todos, homework/x, s3://bucket/work/a, a/root/b"))


def test_every_file_is_looked_at() -> None:
    assert len(PRODUCT) > 10, "the product's files were not found: the rules above checked nothing"
    assert Path(__file__).resolve() in OTHERS


def test_decoders_are_made_once_at_import() -> None:
    """msgspec learns a Struct at the first use; threads that all come first crash the interpreter (seen: SIGSEGV)."""
    late = re.compile(r"msgspec\.(?:json|msgpack)\.decode\([^\n]*type=(?!dict)")
    found = [str(path) for path in (ROOT / "swampstore").rglob("*.py") if late.search(path.read_text())]
    assert not found
