"""Which store, namespace and tree a command works on. Pure but for reading one file.

Each setting comes from the first of these that has it:

1. the command's flags
2. the environment: SWAMP_DATASTORE, SWAMP_NAMESPACE, SWAMP_TIMEOUT, SWAMP_REPO_DIR (empty means not set)
3. ``.swamp.yaml`` of the repo, section ``datastore`` (other sections belong to other programs)
4. the default: the store in the user's data folder, namespace ``default``, 60 seconds, the repo around the working
   folder

The repo is the folder named by ``--repo-dir`` or SWAMP_REPO_DIR; else the nearest folder with a ``.swamp.yaml``, from the
working folder up to the root of its git work tree; else that root; else the working folder.

Invariants: a value that cannot be used is refused with ``BadConfig`` that names where it stands, never passed over.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from swampstore.errors import BadConfig, BadName, BadURL
from swampstore.values.keys import check_namespace

FILE_NAME = ".swamp.yaml"
TREE_NAME = ".swamp"
DEFAULT_NAMESPACE = "default"
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_ORIGIN = "the default"
KEYS = ("type", "path", "config", "namespace", "directories", "exclude")
_FILE_BYTES = 1 << 20
_TYPES = "filesystem (with path) and s3 (with config)"


class Flags(NamedTuple):
    """What was said on the command line; ``None`` where nothing was."""

    store: str | None = None
    namespace: str | None = None
    repo_dir: str | None = None
    timeout: float | None = None


class Section(NamedTuple):
    """The ``datastore`` section of one ``.swamp.yaml``, checked. ``store`` is in a form that opens a store."""

    file: Path
    store: str | None = None
    namespace: str | None = None
    directories: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Settings(NamedTuple):
    """What a command works with. ``origin`` says where the store was named; the default one may be created on use."""

    repo: Path
    store: str
    namespace: str
    timeout: float
    directories: tuple[str, ...]
    exclude: tuple[str, ...]
    origin: str

    @property
    def tree(self) -> Path:
        """The folder that sync keeps like the namespace."""
        return self.repo / TREE_NAME

    @property
    def is_default_store(self) -> bool:
        return self.origin == DEFAULT_ORIGIN


def settle(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Settings:
    """All settings of one command. Raises ``BadConfig`` or ``BadName``."""
    named = flags.repo_dir or environ.get("SWAMP_REPO_DIR")
    repo = _existing((cwd / os.path.expanduser(named)).resolve()) if named else find_repo(cwd)
    section = read_section(repo / FILE_NAME) or Section(repo / FILE_NAME)
    store, origin = _store(flags, environ, section)
    return Settings(
        repo=repo,
        store=store,
        namespace=_namespace(flags, environ, section),
        timeout=_timeout(flags, environ),
        directories=section.directories,
        exclude=section.exclude,
        origin=origin,
    )


def find_repo(start: Path) -> Path:
    """The repo around ``start``; see the module's text."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if _is_named(folder / FILE_NAME):
            return folder
        if (folder / ".git").exists():
            return folder
    return start


def _is_named(file: Path) -> bool:
    """Whether anything has this name, be it a link that leads nowhere: what is no file is refused when it is read."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def default_store(environ: Mapping[str, str]) -> str:
    """The folder of the embedded default store."""
    base = environ.get("XDG_DATA_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path(environ.get("HOME") or Path.home()) / ".local" / "share"
    return str(folder / "swampstore" / "default")


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise BadConfig(f"the repo {folder} is not a folder", hint="name a folder with --repo-dir or SWAMP_REPO_DIR")
    return folder


def _store(flags: Flags, environ: Mapping[str, str], section: Section) -> tuple[str, str]:
    if flags.store is not None:
        return flags.store, "--store"
    if environ.get("SWAMP_DATASTORE"):
        return environ["SWAMP_DATASTORE"], "SWAMP_DATASTORE"
    if section.store is not None:
        return section.store, str(section.file)
    return default_store(environ), DEFAULT_ORIGIN


def _namespace(flags: Flags, environ: Mapping[str, str], section: Section) -> str:
    if flags.namespace is not None:
        return check_namespace(flags.namespace)
    return check_namespace(environ.get("SWAMP_NAMESPACE") or section.namespace or DEFAULT_NAMESPACE)


def _timeout(flags: Flags, environ: Mapping[str, str]) -> float:
    where, value = "--timeout", flags.timeout
    if value is None:
        where, text = "SWAMP_TIMEOUT", environ.get("SWAMP_TIMEOUT") or str(DEFAULT_TIMEOUT_S)
        try:
            value = float(text)
        except ValueError:
            raise BadConfig(f"{where}={text!r} is not a number", hint="seconds, such as 60") from None
    if not (math.isfinite(value) and value > 0):
        raise BadConfig(f"{where}: {value} seconds make no sense", hint="seconds above 0, such as 60")
    return value


# --- .swamp.yaml -----------------------------------------------------------------------------------------------------


def read_section(file: Path) -> Section | None:
    """The ``datastore`` section of ``file``; ``None`` when there is no such file or section. Raises ``BadConfig``."""
    try:
        with open(file, "rb", opener=_opened_at_once) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise BadConfig(f"{file} is no file", hint="put a file there, or remove it to use the default store")
            text = opened.read(_FILE_BYTES + 1).decode("utf-8")
    except FileNotFoundError:
        if not file.is_symlink():
            return None
        hint = "bring back what it leads to, or remove the link to use the default store"
        raise BadConfig(f"{file} is a link to {os.readlink(file)}, which is not there", hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{file} cannot be read: {error}") from None
    return parse_section(text, file)


def _opened_at_once(path: str, flags: int) -> int:
    """Opens as ever, but does not wait for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def parse_section(text: str, file: Path) -> Section | None:
    """The ``datastore`` section of the text of ``file``. Relative paths in it start at the file's folder."""
    import yaml

    if len(text) > _FILE_BYTES:
        raise BadConfig(f"{file} is larger than {_FILE_BYTES} bytes")
    try:
        names, found = read_document(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {min(mark.line, text.count(chr(10))) + 1}" if mark else ""
        raise BadConfig(f"{file}{where}: {getattr(error, 'problem', None) or 'not YAML'}") from None
    except ValueError as error:
        raise BadConfig(f"{file}: {error}") from None
    if names is None:
        raise BadConfig(f"{file} does not hold named sections", hint="it begins with a line like datastore:")
    if found is None:
        _refuse_typo(names, file)
        return None
    if not isinstance(found, dict):
        raise _bad(file, "", "it has no keys", "see: swamp datastore setup --help")
    for key in found:
        if key not in KEYS:
            raise _bad(file, str(key), "there is no such key", f"possible are {', '.join(KEYS)}")
    return Section(
        file=file,
        store=_store_of(found, file),
        namespace=_namespace_of(found, file),
        directories=_texts(found, "directories", file),
        exclude=_texts(found, "exclude", file),
    )


def refuse_empty(file: Path) -> None:
    """Raise ``BadConfig`` for a file without anything in it, where the default store would be used without a word."""
    if read_section(file) is None and file.exists() and read_document(file.read_text("utf-8")) == ([], None):
        raise BadConfig(
            f"{file} is empty, so it names no store",
            hint="write it with swamp datastore setup, remove it to use the default store, or name one with --store",
        )


def read_document(text: str) -> tuple[list[str] | None, Any]:
    """The names of the sections, and what is in ``datastore``; ``(None, None)`` for a document without sections.

    The others belong to other programs and are not looked into, so nothing in them can grow. Raises ``ValueError``.
    """
    import yaml

    from swampstore.values.plainyaml import check_depth

    check_depth(text)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        top = loader.get_single_node()
        if top is None or (isinstance(top, yaml.ScalarNode) and top.tag == "tag:yaml.org,2002:null"):
            return [], None
        if not isinstance(top, yaml.MappingNode):
            return None, None
        names = [str(name.value) for name, _ in top.value if isinstance(name, yaml.ScalarNode)]
        section = [node for name, node in top.value if isinstance(name, yaml.ScalarNode) and name.value == "datastore"]
        if not section:
            return names, None
        if len(section) > 1:
            raise ValueError("datastore: there are two such sections")
        _refuse_growth(section[0])
        return names, loader.construct_document(section[0])
    finally:
        loader.dispose()


def _refuse_growth(top: Any) -> None:
    """Raise ``ValueError`` when a list or map stands in several places: a few lines can stand for any number so. And when a
    key stands in one map twice, of which the last would count without a word."""
    import yaml

    seen: set[int] = set()
    left = [top]
    while left:
        node = left.pop()
        if isinstance(node, yaml.CollectionNode):
            if id(node) in seen:
                raise ValueError("datastore: it uses one list or map in several places: write it out")
            seen.add(id(node))
            _refuse_twice(node)
            left += [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]


def _refuse_twice(node: Any) -> None:
    import yaml

    lines: dict[tuple[str, str], int] = {}
    for name, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(name, yaml.ScalarNode):
            key, line = (name.tag, name.value), name.start_mark.line + 1
            if key in lines:
                raise ValueError(f"datastore: {name.value[:100]} is given twice, in lines {lines[key]} and {line}")
            lines[key] = line


def _refuse_typo(document: Sequence[str], file: Path) -> None:
    """Raise ``BadConfig`` for a section that is empty, or all but called ``datastore``: the default store would be
    written to instead, without a word."""
    if "datastore" in document:
        raise _bad(file, "", "it is empty", "see: swamp datastore setup --help")
    import difflib

    near = difflib.get_close_matches("datastore", document, n=1, cutoff=0.8)
    if near:
        raise BadConfig(f"{file}: {near[0]}: there is no such section", hint="is it datastore: that is meant?")


def _store_of(found: Mapping[str, Any], file: Path) -> str | None:
    kind, path, config = found.get("type"), found.get("path"), found.get("config")
    if kind is None and path is None and config is None:
        return None
    if kind == "filesystem":
        if config is not None:
            raise _bad(file, "config", "it goes with type s3", "a filesystem store has a path")
        if not isinstance(path, str) or not path.strip():
            raise _bad(file, "path", "a filesystem store needs one", "such as path: /data/team")
        try:
            folder = file.parent / Path(path).expanduser()
        except RuntimeError:  # ~name of nobody
            raise _bad(file, "path", f"there is no home folder for {path[:100]!r}", "write the whole path") from None
        return _checked("filesystem:" + os.path.abspath(folder), file, "path")
    if kind == "s3":
        if path is not None:
            raise _bad(file, "path", "it goes with type filesystem", "an s3 store has a config with bucket and prefix")
        if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
            raise _bad(file, "config", "an s3 store needs one", "it holds bucket, and prefix, region, endpoint ...")
        import json

        try:
            return _checked("s3:" + json.dumps(config), file, "config")
        except TypeError:
            raise _bad(file, "config", "its values are texts") from None
    raise _bad(file, "type", f"{kind!r} is not a type of store", f"possible are {_TYPES}")


def _checked(url: str, file: Path, key: str) -> str:
    from swampstore.stores.urls import parse_url

    try:
        parse_url(url)
    except BadURL as error:
        raise _bad(file, key, str(error), error.hint) from None
    return url


def _namespace_of(found: Mapping[str, Any], file: Path) -> str | None:
    name = found.get("namespace")
    if name is None:
        return None
    try:
        return check_namespace(name)
    except BadName as error:
        raise _bad(file, "namespace", str(error), error.hint) from None


def _texts(found: Mapping[str, Any], key: str, file: Path) -> tuple[str, ...]:
    value = found.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _bad(file, key, "it is not a list of texts", f"such as {key}: [reports, outputs]")
    return tuple(value)


def _bad(file: Path, key: str, problem: str, hint: str = "") -> BadConfig:
    return BadConfig(f"{file}: datastore{'.' + key if key else ''}: {problem}", hint=hint)
