"""Where the product takes bytes or words apart: every function that calls a parser, found in the source.

A parser is msgspec (its functions, and decoders that modules hold), ``struct``, JSON, YAML, XML, Parquet, hexadecimals, and
the decompressor.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import swampstore
import swampstore_cli

FOLDERS = [Path(package.__file__).parent for package in (swampstore, swampstore_cli) if package.__file__]
CALLS = {
    "msgspec.json.decode", "msgspec.msgpack.decode", "json.loads", "json.load", "yaml.parse", "yaml.safe_load", "yaml.load",
    "yaml.compose", "ElementTree.fromstring", "bytes.fromhex", "pq.read_metadata", "pq.ParquetFile", "pickle.loads",
    "zstandard.frame_content_size", "int.from_bytes",
}  # fmt: skip
METHODS = {"unpack", "unpack_from", "decompress"}
Site = tuple[str, int]


def sites() -> dict[Site, str]:
    """``(file, first line)`` of each function that parses, and what it is called."""
    found: dict[Site, str] = {}
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            if "testing" not in path.parts:
                module = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
                tree = ast.parse(path.read_text("utf-8"))
                held = set(_held(tree))
                for name, function in _functions(tree, module):
                    if any(_parses(node, held) for node in _own(function)):
                        first = min([function.lineno, *(one.lineno for one in function.decorator_list)])
                        found[str(path), first] = name
    return found


def _held(tree: ast.Module) -> Iterator[str]:
    """Names of the decoders that a module holds."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and "Decoder(" in ast.unparse(node.value):
            yield from (ast.unparse(target) for target in node.targets)


def _functions(node: ast.AST, name: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}.{child.name}", child
        inner = f"{name}.{child.name}" if isinstance(child, ast.ClassDef | ast.FunctionDef) else name
        yield from _functions(child, inner)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function itself, not in functions within it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _own(child)


def _parses(node: ast.AST, held: set[str]) -> bool:
    if not isinstance(node, ast.Call | ast.Name | ast.Attribute):
        return False
    if isinstance(node, ast.Name):
        return node.id in held
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in CALLS or (node.attr in METHODS and not node.attr.startswith("__"))
    return False


def reached(work: Callable[[], Any]) -> set[Site]:
    """The functions of the product that were called during ``work``."""
    met: set[Site] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code
            met.add((code.co_filename, code.co_firstlineno))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return met
