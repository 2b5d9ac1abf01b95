"""What a failed S3 call means: from HTTP status and service code, or a client library's exception, to a typed error.

Invariants:
- Every fault that leaves a write undecided is a ``StoreUnavailable`` (or its ``Throttled``, ``Busy``); everything else
  is a refusal by a server that has understood the call.
- ``409`` decides nothing and is ``Busy``; only ``412`` says that a condition does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swampstore.errors import (
    AlreadyExists,
    BadConfig,
    BadName,
    BadURL,
    ClockOff,
    NotFound,
    PreconditionsIgnored,
    StaleWrite,
    StoreForbidden,
    StoreFull,
    StoreMissing,
    StoreUnavailable,
    SwampError,
    Throttled,
    TooLarge,
)
from swampstore.stores.base import Busy, Create, Overwrite, Replace, When

_USERINFO = re.compile(r"(?<=://)[^/\s'\"]+@")
NO_CONDITIONS_HINT = (
    "this store cannot be shared safely: use a server that enforces If-None-Match and If-Match on PUT (AWS S3 does)"
)
_CREDENTIALS_HINT = "check the credentials (profile, environment) and the policy: get, put, list and delete are needed"
_CODES: Mapping[str, tuple[type[SwampError], str]] = {
    "RequestTimeTooSkewed": (ClockOff, "set this machine's clock (ntp)"),
    "NoSuchBucket": (StoreMissing, "create the bucket, or correct its name or the endpoint"),
    "InvalidBucketName": (BadURL, "a bucket name has 3 to 63 lower-case letters, digits, '.' and '-'"),
    "SlowDown": (Throttled, ""),
    "Throttling": (Throttled, ""),
    "ThrottlingException": (Throttled, ""),
    "RequestLimitExceeded": (Throttled, ""),
    "TooManyRequests": (Throttled, ""),
    "RequestTimeout": (StoreUnavailable, ""),
    "IncompleteBody": (StoreUnavailable, ""),
    "BadDigest": (StoreUnavailable, ""),
    "NoSuchUpload": (StoreUnavailable, "the upload was aborted by somebody: send it again"),
    "ExpiredToken": (StoreForbidden, "get new credentials"),
    "InvalidToken": (StoreForbidden, _CREDENTIALS_HINT),
    "InvalidObjectState": (StoreForbidden, "the object is archived: restore it, and use a storage class read at once"),
    "QuotaExceeded": (StoreFull, "raise the quota of the bucket"),
    "XMinioStorageFull": (StoreFull, "free some space on the server"),
    "EntityTooLarge": (TooLarge, ""),
    "KeyTooLongError": (BadName, "a shorter prefix leaves more room for names"),
    "AuthorizationHeaderMalformed": (BadConfig, "name the bucket's own region with region=..."),
    "PermanentRedirect": (BadConfig, "name the bucket's own region with region=..., or its endpoint"),
    "InvalidStorageClass": (BadConfig, "correct storage_class"),
}


def refusal(status: int, code: str, message: str, *, what: str, when: When | None = None) -> SwampError:
    """The typed error of an HTTP answer.

    ``what`` names object and store; ``when`` is the condition of a put, ``None`` for every other call.
    """
    text = f"{what}: {' '.join(part for part in (str(status), code, message) if part)}"
    if code in _CODES:
        kind, hint = _CODES[code]
        return kind(text, hint=hint)
    if status in (404, 409, 412, 501):
        return _settled(status, code, text, what, when)
    if status in (429, 503):
        return Throttled(text)
    if status in (401, 403) or code.startswith("KMS."):
        return StoreForbidden(text, hint=_CREDENTIALS_HINT)
    if status == 507:
        return StoreFull(text, hint="free some space on the server, or raise the quota")
    if status in (301, 307, 308):
        return BadConfig(text, hint="name the bucket's own region with region=..., or its endpoint")
    if status >= 500 or status < 400:
        return StoreUnavailable(text)
    return BadConfig(text, hint="the server refuses the call itself: check endpoint, region, sse and storage_class")


def _settled(status: int, code: str, text: str, what: str, when: When | None) -> SwampError:
    conditional = isinstance(when, Create | Replace)
    if status == 412 and isinstance(when, Create):
        return AlreadyExists(f"{what} exists")
    if status == 412 and isinstance(when, Replace):
        return StaleWrite(f"{what} is no longer the version {when.etag}")
    if status == 404 and isinstance(when, Create | Overwrite) and code != "NoSuchKey":
        return StoreMissing(text, hint="create the bucket, or correct its name or the endpoint")
    if status == 404:
        return NotFound(f"{what} does not exist")
    if status == 409:
        return Busy(text)
    if status == 501 and conditional:
        return PreconditionsIgnored(
            f"{text}: the server does not implement conditional writes", hint=NO_CONDITIONS_HINT
        )
    if status == 501:
        return BadConfig(
            text, hint="the server does not implement an option of the URL (sse, kms_key, storage_class, checksum)"
        )
    return StoreUnavailable(text)


def client_faults() -> tuple[type[BaseException], ...]:
    """Everything a client library may raise while it carries out a call."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return (BotoCoreError, ClientError, HTTPError, TimeoutError, ConnectionError)


def translate(error: BaseException, *, what: str, when: When | None = None) -> SwampError:
    """The typed error for an exception of a client library. ``what`` and ``when`` as for :func:`refusal`."""
    from botocore import exceptions as core

    if isinstance(error, core.ClientError):
        told = error.response.get("Error", {})
        status, code = error_status(error), str(told.get("Code", ""))
        code = "" if code.isdigit() else code
        return refusal(status, code, str(told.get("Message", "")), what=what, when=when)
    text = f"{what}: {masked(str(error)) or type(error).__name__}"
    if isinstance(error, core.NoCredentialsError | core.PartialCredentialsError | core.CredentialRetrievalError):
        return StoreForbidden(text, hint="configure AWS credentials (environment, ~/.aws/credentials, or a role)")
    if isinstance(error, core.TokenRetrievalError | core.UnauthorizedSSOTokenError | core.SSOError):
        return StoreForbidden(text, hint="log in again: aws sso login")
    if isinstance(error, core.ProfileNotFound | core.ConfigParseError | core.NoRegionError):
        return BadConfig(text, hint="check the profile and ~/.aws/config")
    if isinstance(error, core.ParamValidationError | core.InvalidRegionError | core.UnsupportedS3ConfigurationError):
        return BadURL(text, hint="check the bucket, region and options in the store's URL")
    if isinstance(error, ValueError):
        return BadURL(text, hint="check the endpoint in the store's URL")
    if isinstance(error, core.SSLError):
        return BadConfig(text, hint="name the certificate authority with AWS_CA_BUNDLE")
    return StoreUnavailable(text, hint="check the network and the endpoint")


def masked(text: str) -> str:
    """``text`` without the user and password of any URL in it: of a proxy, or of an endpoint from the environment."""
    return _USERINFO.sub("***@", text)


def missing_bucket(where: str) -> StoreMissing:
    """What a 404 for the bucket itself means (it carries no service code)."""
    return StoreMissing(f"{where} does not exist", hint="create the bucket, or correct its name or the endpoint")


def error_status(error: Any) -> int:
    """The HTTP status of a client library's ``ClientError``; 0 if it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def delete_refusal(response: Mapping[str, Any], where: str) -> SwampError | None:
    """The error of a DeleteObjects response that could not delete everything, from the first it reports."""
    errors = [told for told in response.get("Errors", ()) if told.get("Code") != "NoSuchKey"]
    if not errors:
        return None
    first = errors[0]
    code = str(first.get("Code", ""))
    status = {"AccessDenied": 403, "InternalError": 500, "SlowDown": 503, "ServiceUnavailable": 503}.get(code, 500)
    rest = f" ({len(errors)} names were not deleted)" if len(errors) > 1 else ""
    return refusal(status, code, f"{first.get('Message', '')}{rest}", what=f"{first.get('Key')} in {where}")
