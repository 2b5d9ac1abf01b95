"""Where each setting comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from swampstore.errors import BadConfig, BadName, SwampError
from swampstore_cli.config import Flags, find_repo, parse_section, settle

FILE_STORE = "datastore:\n  type: filesystem\n  path: /from/file\n  namespace: file-ns\n"


@pytest.mark.parametrize("flag", [None, "/from/flag"])
@pytest.mark.parametrize("environ", [None, "", "/from/env"])
@pytest.mark.parametrize("in_file", [False, True])
def test_the_store_comes_from_flag_then_environment_then_file_then_default(
    repo: Path, user: Path, flag: str | None, environ: str | None, in_file: bool
) -> None:
    if in_file:
        (repo / ".swamp.yaml").write_text(FILE_STORE)
    given = {"HOME": str(user / "home")} | ({} if environ is None else {"SWAMP_DATASTORE": environ})
    found = settle(Flags(store=flag), given, repo)
    default = str(user / "home/.local/share/swampstore/default")
    expected = flag or environ or ("filesystem:/from/file" if in_file else default)
    assert found.store == expected
    assert found.is_default_store == (expected == default)


@pytest.mark.parametrize("flag", [None, "flag-ns"])
@pytest.mark.parametrize("environ", [None, "", "env-ns"])
@pytest.mark.parametrize("in_file", [False, True])
def test_the_namespace_comes_from_flag_then_environment_then_file_then_default(
    repo: Path, flag: str | None, environ: str | None, in_file: bool
) -> None:
    if in_file:
        (repo / ".swamp.yaml").write_text(FILE_STORE)
    given = {} if environ is None else {"SWAMP_NAMESPACE": environ}
    found = settle(Flags(namespace=flag), given, repo).namespace
    assert found == (flag or environ or ("file-ns" if in_file else "default"))


@pytest.mark.parametrize(
    ("flag", "environ", "expected"),
    [(None, {}, 60.0), (None, {"SWAMP_TIMEOUT": "7.5"}, 7.5), (3.0, {"SWAMP_TIMEOUT": "7.5"}, 3.0)],
)
def test_the_timeout_comes_from_flag_then_environment_then_default(
    repo: Path, flag: float | None, environ: dict[str, str], expected: float
) -> None:
    assert settle(Flags(timeout=flag), environ, repo).timeout == expected


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_makes_no_sense_is_refused_by_name(repo: Path, text: str) -> None:
    with pytest.raises(BadConfig, match="SWAMP_TIMEOUT"):
        settle(Flags(), {"SWAMP_TIMEOUT": text}, repo)


def test_the_repo_comes_from_flag_then_environment_then_the_working_folder(user: Path, repo: Path) -> None:
    for name in ("one", "two"):
        (user / name).mkdir()
    given = {"SWAMP_REPO_DIR": str(user / "two")}
    assert settle(Flags(repo_dir=str(user / "one")), given, repo).repo == user / "one"
    assert settle(Flags(), given, repo).repo == user / "two"
    assert settle(Flags(), {}, repo).repo == repo
    assert settle(Flags(), {}, repo).tree == repo / ".swamp"
    with pytest.raises(BadConfig, match="not a folder"):
        settle(Flags(repo_dir="three"), {}, repo)


def test_the_repo_is_found_from_below_but_not_beyond_a_git_root(user: Path, repo: Path) -> None:
    deep = repo / "a" / "b"
    deep.mkdir(parents=True)
    (user / ".swamp.yaml").write_text(FILE_STORE)
    assert find_repo(deep) == repo
    (repo / "a" / ".swamp.yaml").write_text(FILE_STORE)
    assert find_repo(deep) == repo / "a"


def test_without_git_and_file_the_repo_is_the_working_folder(user: Path) -> None:
    plain = user / "home" / "x"
    plain.mkdir()
    assert find_repo(plain) == plain


def test_xdg_data_home_moves_the_default_store(repo: Path) -> None:
    found = settle(Flags(), {"XDG_DATA_HOME": "/xdg", "HOME": "/h"}, repo)
    assert found.store == "/xdg/swampstore/default"
    assert settle(Flags(), {"XDG_DATA_HOME": "not/absolute", "HOME": "/h"}, repo).store.startswith("/h/.local/share/")


def section(text: str):
    return parse_section(text, Path("/repo/.swamp.yaml"))


def test_a_whole_section() -> None:
    found = section(
        "datastore:\n  type: s3\n  config: {bucket: team-bucket, prefix: p/q, path_style: true}\n"
        "  namespace: ops\n  directories: [data, reports]\n  exclude: ['*.tmp']\nother: {free: true}\n"
    )
    assert found is not None
    assert found.store == 's3:{"bucket": "team-bucket", "prefix": "p/q", "path_style": true}'
    assert (found.namespace, found.directories, found.exclude) == ("ops", ("data", "reports"), ("*.tmp",))


@pytest.mark.parametrize("text", ["", "# nothing\n", "other: 1\n"])
def test_a_file_without_the_section_says_nothing(text: str) -> None:
    assert section(text) is None


def test_a_relative_path_starts_at_the_file() -> None:
    found = section("datastore:\n  type: filesystem\n  path: ../store\n")
    assert found is not None
    assert found.store == "filesystem:/store"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datastore: {type: filesystem, path: /a, pth: /b}", "datastore.pth"),
        ("datastore: {namespace: ops, 1: x}", "datastore.1"),
        ("datastore: [a]", "datastore: it has no keys"),
        ("datastore: text", "datastore: it has no keys"),
        ("- a\n- b", "named sections"),
        ("datastore: {type: s3", "line 1"),
        ("a: 'x\n\nb", "line"),
        ("datastore: {type: ftp}", "datastore.type"),
        ("datastore: {path: /a}", "datastore.type"),
        ("datastore: {type: filesystem}", "datastore.path"),
        ("datastore: {type: filesystem, path: ''}", "datastore.path"),
        ("datastore: {type: filesystem, path: 3}", "datastore.path"),
        ("datastore: {type: filesystem, path: /a, config: {}}", "datastore.config"),
        ("datastore: {type: s3, path: /a}", "datastore.path"),
        ("datastore: {type: s3}", "datastore.config"),
        ("datastore: {type: s3, config: [a]}", "datastore.config"),
        ("datastore: {type: s3, config: {1: a}}", "datastore.config"),
        ("datastore: {type: s3, config: {bucket: 2026-01-01}}", "datastore.config"),
        ("datastore: {type: s3, config: {bucket: b}}", "datastore.config"),
        ("datastore: {type: s3, config: {bucket: team-bucket, secret: x}}", "datastore.config"),
        ("datastore: {namespace: a b}", "datastore.namespace"),
        ("datastore: {namespace: 7}", "datastore.namespace"),
        ("datastore: {directories: data}", "datastore.directories"),
        ("datastore: {directories: [data, 7]}", "datastore.directories"),
        ("datastore: {exclude: ['']}", "datastore.exclude"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_and_key(text: str, says: str) -> None:
    with pytest.raises(BadConfig) as caught:
        section(text)
    assert "/repo/.swamp.yaml" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("where", ["endpoint: 'https://me:hunter2@host'", "secret_key: hunter2"])
def test_credentials_in_the_file_are_refused_and_not_repeated(where: str) -> None:
    with pytest.raises(BadConfig) as caught:
        section(f"datastore: {{type: s3, config: {{bucket: team-bucket, {where}}}}}")
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_file_that_cannot_be_read_is_refused(repo: Path) -> None:
    (repo / ".swamp.yaml").write_bytes(b"datastore: \xff\n")
    with pytest.raises(BadConfig, match="cannot be read"):
        settle(Flags(), {}, repo)


@pytest.mark.parametrize("flags", [Flags(namespace="a/b"), Flags(namespace="")])
def test_a_bad_namespace_flag_is_refused(repo: Path, flags: Flags) -> None:
    with pytest.raises(BadName):
        settle(flags, {}, repo)


def test_a_bad_namespace_in_the_environment_is_refused(repo: Path) -> None:
    with pytest.raises(SwampError, match="bad namespace"):
        settle(Flags(), {"SWAMP_NAMESPACE": "../x"}, repo)
