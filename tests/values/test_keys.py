"""Keys: a table of what is refused, and that a valid key is one path below a root and back."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from swampstore.errors import BadKey, BadName
from swampstore.limits import KEY_BYTES
from swampstore.values.keys import check_key, check_namespace, check_prefix, encode_keys, key_problem

GOOD = [
    "a",
    "a/b",
    "a/b.json",
    ".hidden",
    "a/.b",
    "...",
    "a..b/c",
    " ",
    "a b",
    "é/ü",
    "日本/語",
    "a:b*?",
    "-",
    "x" * 1024,
]
BAD = {
    "": "empty",
    "/a": "empty part",
    "a/": "empty part",
    "a//b": "empty part",
    "/": "empty part",
    ".": ". or ..",
    "..": ". or ..",
    "a/../b": ". or ..",
    "./a": ". or ..",
    "a/.": ". or ..",
    "../a": ". or ..",
    "a\\b": "backslash",
    "a\0b": "NUL",
    "a\ud800": "UTF-8",
    "x" * 1025: "1025 bytes",
    "é" * 513: "1026 bytes",
}


@pytest.mark.parametrize("key", GOOD)
def test_good_keys(key: str) -> None:
    assert check_key(key) == key


def test_many_keys_at_once_are_encoded_in_their_order() -> None:
    assert encode_keys(GOOD) == [key.encode() for key in GOOD]
    assert encode_keys([]) == []


@pytest.mark.parametrize("bad", [*BAD, None, 3, b"a"], ids=repr)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_key_among_many_is_refused_as_if_it_came_alone(bad: str, place: int) -> None:
    keys = ["a/b", "c"]
    keys.insert(place, bad)
    with pytest.raises(BadKey) as alone:
        check_key(bad)
    with pytest.raises(BadKey) as among:
        encode_keys(keys)
    assert str(among.value) == str(alone.value)


@given(st.lists(st.text(alphabet="a./\\\0é\ud800", max_size=6), max_size=4))
def test_many_keys_pass_if_each_does(keys: list[str]) -> None:
    problem = any(map(key_problem, keys))
    try:
        assert encode_keys(keys) == [key.encode() for key in keys]
        assert not problem
    except BadKey:
        assert problem


@pytest.mark.parametrize(("key", "why"), BAD.items(), ids=[repr(key[:12]) for key in BAD])
def test_bad_keys(key: str, why: str) -> None:
    with pytest.raises(BadKey, match=why) as caught:
        check_key(key)
    assert caught.value.hint


@pytest.mark.parametrize("key", [b"a", None, 3, ["a"]])
def test_keys_are_text(key: object) -> None:
    assert "not a string" in key_problem(key)  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.text(alphabet=st.sampled_from("ab./\\\0 é~-"), max_size=12))
def test_a_valid_key_is_one_path_below_a_root_and_back(key: str) -> None:
    assume(not key_problem(key))
    path = os.path.normpath(os.path.join("/base", key))
    assert path == "/base/" + key
    assert PurePosixPath(path).relative_to("/base").as_posix() == key


@given(st.text(max_size=30))
def test_what_climbs_or_collapses_is_refused(text: str) -> None:
    path = os.path.normpath(os.path.join("/base", text))
    if path != "/base/" + text or "\0" in text:
        assert key_problem(text)


@given(st.text(min_size=1, max_size=300))
def test_a_valid_key_fits_its_limit_in_bytes(key: str) -> None:
    if not key_problem(key):
        assert len(key.encode()) <= KEY_BYTES


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "a/b/"])
def test_good_prefixes(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "a//", "../", "a/../", "\0"])
def test_bad_prefixes(prefix: str) -> None:
    with pytest.raises(BadKey):
        check_prefix(prefix)


@pytest.mark.parametrize("name", ["a", "default", "A-b_c.d@e+f", "9", "x" * 64])
def test_good_namespaces(name: str) -> None:
    assert check_namespace(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "a/b", "a b", "é", "x" * 65, "a\n", "a\0", None, 3, b"a"])
def test_bad_namespaces(name: object) -> None:
    with pytest.raises(BadName):
        check_namespace(name)  # type: ignore[arg-type]
