"""What to sync: directions, and which keys are covered.

Exclude patterns look like those of ``.gitignore``, with this much of their meaning: a pattern without a slash matches
the name of a file or folder anywhere; one with a slash matches a path from the top of the tree; a trailing slash
matches folders only; what lies below an excluded folder is excluded. ``*`` also crosses slashes, ``!`` is refused.

Invariant: a key that is not covered is never pushed, pulled or deleted; its absence means nothing.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

import msgspec

from swampstore.errors import BadConfig, Misuse
from swampstore.values.classes import NO_RULES, ClassRules
from swampstore.values.keys import check_key, check_prefix

STATE_FOLDER = ".swampstore"
TEMP_PREFIX = ".swampstore-tmp-"


class SyncOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``directories`` are folders at the top of the tree (all when empty); ``folders`` narrow that further, at any depth.

    ``metadata_only`` leaves large contents and those of data versions in the namespace (see
    :mod:`swampstore.workers.sync.lazy`). ``durable`` makes pulled files survive a power cut before the state says that
    they are there.
    """

    push: bool = True
    pull: bool = True
    dry_run: bool = False
    prefix: str = ""
    directories: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    metadata_only: bool = False
    limit_rate: int = 0
    """Bytes per second in each direction together; 0 for no limit."""
    durable: bool = True


class Scope:
    """The keys that a sync covers. Raises ``BadKey``, ``BadConfig`` or ``Misuse`` for options that make no sense."""

    def __init__(self, options: SyncOptions) -> None:
        if not options.push and not options.pull:
            raise Misuse("a sync that neither pushes nor pulls", hint="leave out --pull and --push for both ways")
        check_prefix(options.prefix)
        self.prefixes = _within(_prefixes(options.prefix, options.directories), options.folders)
        """Disjoint, in key order."""
        self._others: frozenset[str] = frozenset()
        self._rules = NO_RULES
        self._names, self._paths = _compile(options.exclude)
        self._patterns = bool(options.exclude)
        self._folder_excluded = lru_cache(maxsize=4096)(self._is_folder_excluded)

    @property
    def name(self) -> str:
        """Identifies what is covered of the namespace (excluded keys are covered there, just not acted upon)."""
        return "scope:" + "\n".join(self.prefixes)

    def leave_out(self, folders: frozenset[str]) -> None:
        """Top folders that are trees of other namespaces: excluded from now on."""
        self._others = folders
        self._folder_excluded.cache_clear()

    def leave_state_out(self, rules: ClassRules) -> None:
        """Keys that the namespace's rules make runtime state are no part of a tree: excluded from now on."""
        self._rules = rules

    @staticmethod
    def reserves(key: str) -> bool:
        """Whether ``key`` is named like sync's own files."""
        *folders, name = key.split("/")
        own = any(part == STATE_FOLDER or part.startswith(TEMP_PREFIX) for part in folders)
        return own or name.startswith(TEMP_PREFIX)

    def covers(self, key: str) -> bool:
        """Whether ``key`` lies under one of the prefixes (patterns apart)."""
        return any(key.startswith(prefix) for prefix in self.prefixes)

    def excludes(self, key: str) -> bool:
        """Whether a file key is excluded by a pattern, is runtime state by rule, or is one of sync's own files."""
        if self._rules and self._rules.class_of(key) == "ephemeral":
            return True
        if not self._patterns and not self._others and STATE_FOLDER not in key:
            return False
        folder, _, name = key.rpartition("/")
        return self._matches(key, name, folder=False) or (folder != "" and self._folder_excluded(folder))

    def excludes_folder(self, folder: str) -> bool:
        """Whether a folder (no trailing slash), and so everything below it, is excluded."""
        return self._folder_excluded(folder)

    def _is_folder_excluded(self, folder: str) -> bool:
        if folder in self._others:
            return True
        parent, _, name = folder.rpartition("/")
        if name == STATE_FOLDER:
            return True
        return self._matches(folder, name, folder=True) or (parent != "" and self._folder_excluded(parent))

    def _matches(self, path: str, name: str, *, folder: bool) -> bool:
        if name.startswith(TEMP_PREFIX):
            return True
        names, paths = self._names[folder], self._paths[folder]
        return bool((names and names.match(name)) or (paths and paths.match(path)))


def _prefixes(prefix: str, directories: tuple[str, ...]) -> tuple[str, ...]:
    if not directories:
        return (prefix,)
    found: set[str] = set()
    for directory in directories:
        folder = check_key(directory.strip("/")) + "/"
        if folder.startswith(prefix):
            found.add(folder)
        elif prefix.startswith(folder):
            found.add(prefix)
    return tuple(sorted(one for one in found if not any(one != other and one.startswith(other) for other in found)))


def _within(prefixes: tuple[str, ...], folders: tuple[str, ...]) -> tuple[str, ...]:
    """What ``prefixes`` and ``folders`` have in common; all of ``prefixes`` without folders."""
    if not folders:
        return prefixes
    found: set[str] = set()
    for prefix in prefixes:
        found.update(_prefixes(prefix, folders))
    return tuple(sorted(found))


_Compiled = dict[bool, re.Pattern[str] | None]


def _compile(patterns: tuple[str, ...]) -> tuple[_Compiled, _Compiled]:
    """``(patterns for names, patterns for paths)``, each for files (False) and folders (True)."""
    sorted_out: dict[tuple[bool, bool], list[str]] = {}
    for pattern in patterns:
        if pattern.startswith("!") or not pattern.strip("/"):
            raise BadConfig(f"exclude pattern {pattern!r}", hint="patterns look like *.tmp, cache/ or reports/*.log")
        only_folders, bare = pattern.endswith("/"), pattern.rstrip("/")
        anchored = "/" in bare
        text = fnmatch.translate(bare.lstrip("/"))
        for folder in (True,) if only_folders else (True, False):
            sorted_out.setdefault((anchored, folder), []).append(text)
    joined = {key: re.compile("|".join(texts)) for key, texts in sorted_out.items()}
    return (
        {folder: joined.get((False, folder)) for folder in (False, True)},
        {folder: joined.get((True, folder)) for folder in (False, True)},
    )
