"""Store URLs: which store a text names, checked to the last character before anything is opened.

    a path, file:///path?durability=...&lanes=..., filesystem:/path
    memory://name
    s3://bucket/prefix?endpoint=...&region=...&path_style=...&profile=...&sse=...&kms_key=...&storage_class=...&driver=...&checksum=...
    s3:{"bucket": ..., "prefix": ..., ...}        the same names, as JSON

Invariants:
- Credentials are refused in a URL and never repeated in an error message.
- What is unknown, given twice or empty is refused, not ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from swampstore.errors import BadName, BadURL
from swampstore.stores.names import check_name
from swampstore.stores.s3_options import S3Options

FORMS_HINT = "a store is a path, file:///path, memory://name or s3://bucket/prefix?region=..."
SSE_KINDS = ("AES256", "aws:kms", "aws:kms:dsse")
DRIVERS = ("auto", "fast", "botocore")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_MEMORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_STORAGE_CLASS = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_PARAMETERS = ("endpoint", "region", "path_style", "profile", "sse", "kms_key", "storage_class", "driver", "checksum")
_LOCAL_PARAMETERS = {"durability": ("durable", "buffered"), "lanes": ("auto", "on", "off")}
_PARAMETER_IN_PATH = re.compile(r"[?&](?:durability|lanes)=[^/]*\Z")
_OTHER_SPELLINGS = {"forcePathStyle": "path_style", "pathStyle": "path_style", "kmsKey": "kms_key"} | {
    "storageClass": "storage_class"
}


class LocalPlace(msgspec.Struct, frozen=True):
    """A directory; ``path`` is absolute.

    ``buffered`` acknowledges an append once the kernel has it; ``lanes`` says whether writers' lanes are files, ``None``:
    where the directory is on a disk of this machine (see :mod:`swampstore.stores.local_lanes`).
    """

    path: str
    buffered: bool = False
    lanes: bool | None = None


class MemoryPlace(msgspec.Struct, frozen=True):
    """A store in this process's memory."""

    name: str


Place: TypeAlias = LocalPlace | MemoryPlace | S3Options


def parse_url(url: str | os.PathLike[str]) -> Place:
    """The place that ``url`` names. Raises ``BadURL``."""
    text = os.fspath(url)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise BadURL("a store's URL may not be empty or hold a NUL", hint=FORMS_HINT)
    check_text(text)
    matched = _SCHEME.fullmatch(text)
    if isinstance(url, os.PathLike) or not matched:
        return _path(text)
    scheme, rest = matched[1].lower(), matched[2]
    match scheme:
        case "file":
            return _file(text)
        case "filesystem":
            return _filesystem(rest)
        case "memory":
            return _memory(rest)
        case "s3" if rest.startswith("{"):
            return _s3_json(rest)
        case "s3":
            return _s3(text)
    raise BadURL(f"no store is called {scheme}:", hint=FORMS_HINT)


def check_text(text: str) -> str:
    """``text``. Raises ``BadURL`` when it holds bytes that are no UTF-8, which Python keeps as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        hint = "give the folder another name"
        raise BadURL("the path or URL of a store has to be UTF-8, and this one is not", hint=hint) from None
    return text


def s3_options(fields: Mapping[str, Any]) -> S3Options:
    """Options from names and texts (``path_style`` may also be a bool). Raises ``BadURL``."""
    given = dict(fields)
    bucket, prefix = given.pop("bucket", ""), given.pop("prefix", "")
    for name, value in given.items():
        if name not in _PARAMETERS:
            raise BadURL(f"an S3 store has no parameter {name!r}", hint=f"possible are {', '.join(_PARAMETERS)}")
        if value == "" or not isinstance(value, bool if name == "path_style" and not isinstance(value, str) else str):
            raise BadURL(f"the parameter {name} has no value, or not a text")
    return S3Options(
        bucket=_bucket(bucket),
        prefix=_prefix(prefix),
        endpoint=_endpoint(given.get("endpoint")),
        region=given.get("region"),
        path_style=_truth("path_style", given.get("path_style")),
        profile=given.get("profile"),
        sse=_sse(given),
        kms_key=given.get("kms_key"),
        storage_class=_storage_class(given.get("storage_class")),
        driver=_driver(given.get("driver")),
        checksum=_checksum(given.get("checksum")),
    )


def _file(text: str) -> LocalPlace:
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that are no address
        raise BadURL("the file URL cannot be read", hint="such as file:///data/team") from None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.fragment:
        raise BadURL("a file URL is file:///absolute/path", hint="write a '?' or '#' of a file name as %3F or %23")
    return _local(os.path.abspath(_unquoted(parts.path)), parts.query)


def _unquoted(path: str) -> str:
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise BadURL("a %.. of the URL is not UTF-8", hint="a name has to be UTF-8, such as %C3%A9 for an é") from None


def _local(path: str, query: str) -> LocalPlace:
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        given = [(query, "")]
    for number, (name, value) in enumerate(given):
        if value not in _LOCAL_PARAMETERS.get(name, ()):
            known = "durability=durable|buffered, lanes=auto|on|off"
            raise BadURL(f"a file URL has no parameter {name}={value}", hint=f"possible are {known}; a '?' is %3F")
        if name in dict(given[:number]):
            raise BadURL(f"the parameter {name!r} is given twice")
    wanted = dict(given)
    lanes = {"on": True, "off": False}.get(wanted.get("lanes", ""))
    return LocalPlace(path, wanted.get("durability") == "buffered", lanes)


def _filesystem(path: str) -> LocalPlace:
    if not path.strip() or path.startswith("//"):
        raise BadURL("filesystem: needs a path behind it", hint="such as filesystem:/data/team")
    return _path(path)


def _path(text: str) -> LocalPlace:
    if _PARAMETER_IN_PATH.search(text):
        raise BadURL("parameters stand in a file URL, not behind a path", hint="file:///path?...; a '?' is %3F there")
    return LocalPlace(os.path.abspath(os.path.expanduser(text)))


def _memory(rest: str) -> MemoryPlace:
    name = rest.removeprefix("//")
    if not rest.startswith("//") or not _MEMORY_NAME.fullmatch(name):
        raise BadURL("a memory store is memory://name", hint="the name has letters, digits, '.', '_' and '-'")
    return MemoryPlace(name)


def _s3(text: str) -> S3Options:
    try:
        parts = urlsplit(text)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise BadURL("the S3 URL cannot be read", hint="s3://bucket/prefix?name=value&name=value") from None
    if "@" in parts.netloc:
        raise _credentials()
    if not text[3:].startswith("//") or parts.fragment:
        raise BadURL("an S3 store is s3://bucket/prefix", hint="write a '#' of a prefix as %23")
    names = [name for name, _ in given]
    for name in names:
        if names.count(name) > 1:
            raise BadURL(f"the parameter {name!r} is given twice")
        if name in ("bucket", "prefix"):
            raise BadURL(f"{name} is no parameter: it stands in s3://bucket/prefix")
    return s3_options({"bucket": parts.netloc, "prefix": _unquoted(parts.path), **dict(given)})


def _s3_json(rest: str) -> S3Options:
    try:
        given = msgspec.json.decode(rest.encode(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise BadURL(
            f"the JSON after s3: cannot be read: {error}", hint='s3:{"bucket": "...", "prefix": "..."}'
        ) from None
    fields: dict[str, Any] = {}
    for name, value in given.items():
        known = _OTHER_SPELLINGS.get(name, name)
        if known in fields:
            raise BadURL(f"the parameter {known!r} is given twice")
        if value is not None:
            fields[known] = value
    return s3_options(fields)


def _bucket(bucket: Any) -> str:
    if isinstance(bucket, str) and "@" in bucket:
        raise _credentials()
    if not isinstance(bucket, str) or not _BUCKET.fullmatch(bucket):
        raise BadURL(
            f"{bucket!r} is not a bucket's name", hint="it has 3 to 63 lower-case letters, digits, '.' and '-'"
        )
    return bucket


def _prefix(prefix: Any) -> str:
    if not isinstance(prefix, str):
        raise BadURL("the prefix is not a text")
    bare = prefix.strip("/")
    try:
        return check_name(bare) if bare else ""
    except BadName as error:
        raise BadURL(f"the prefix cannot be used: {error}", hint=error.hint) from None


def _endpoint(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    try:
        parts = urlsplit(endpoint)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise BadURL("the endpoint cannot be read", hint="such as https://s3.example.org:9000") from None
    if "@" in endpoint:
        raise _credentials()
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits or parts.query or parts.fragment:
        raise BadURL("the endpoint is no http(s) URL, or more than one", hint="such as https://s3.example.org:9000")
    return endpoint.rstrip("/")


def _sse(given: Mapping[str, str]) -> str | None:
    sse, key = given.get("sse"), given.get("kms_key")
    if key and sse is None:
        return "aws:kms"
    if sse is not None and sse not in SSE_KINDS:
        raise BadURL(f"sse={sse!r} is unknown", hint=f"possible are {', '.join(SSE_KINDS)}")
    if key and sse == "AES256":
        raise BadURL("kms_key goes with sse=aws:kms, not with AES256")
    return sse


def _storage_class(storage_class: str | None) -> str | None:
    if storage_class is not None and not _STORAGE_CLASS.fullmatch(storage_class):
        raise BadURL(f"storage_class={storage_class!r} is not a storage class", hint="such as STANDARD_IA")
    return storage_class


def _driver(driver: str | None) -> str:
    if driver is not None and driver not in DRIVERS:
        raise BadURL(f"driver={driver!r} is unknown", hint=f"possible are {', '.join(DRIVERS)}")
    return driver or "auto"


def _checksum(checksum: str | None) -> str | None:
    if checksum not in (None, "sha256"):
        raise BadURL(f"checksum={checksum!r} is unknown", hint="possible is sha256")
    return checksum


def _truth(name: str, value: str | bool | None) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value.lower() not in _TRUTH:
        raise BadURL(f"{name}={value!r} is neither true nor false")
    return _TRUTH[value.lower()]


def _credentials() -> BadURL:
    return BadURL(
        "a store's URL may not hold credentials",
        hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with profile=...",
    )
