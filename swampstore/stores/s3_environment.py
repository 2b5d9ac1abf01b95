"""The plain case of credentials: two keys in the environment, and nothing else that botocore would look at.

Reading its configuration through botocore costs a process a tenth of a second before its first request. Where there is
nothing to read but a few variables, as in most containers, the answer is the same without it.

Invariants:
- The shortcut is taken only if every file and variable that botocore would obey is absent or understood here; one
  unknown ``AWS_`` variable, any proxy, any configuration file with anything in it, and botocore is asked.
- Keys in the environment come first in botocore's own chain, unless a profile is named.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

_UNDERSTOOD = {
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
}  # fmt: skip
_BESIDE_THE_POINT = {
    "AWS_REGION", "AWS_EC2_METADATA_DISABLED", "AWS_PAGER", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE", "AWS_EXECUTION_ENV", "AWS_ACCOUNT_ID",
    "AWS_METADATA_SERVICE_TIMEOUT", "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "AWS_DEFAULT_OUTPUT", "AWS_CLI_AUTO_PROMPT",
}  # fmt: skip
"""Variables that botocore does not read, or that concern what is not done here."""


class Frozen(NamedTuple):
    """Credentials that do not change, by botocore's names."""

    access_key: str
    secret_key: str
    token: str | None


class EnvironmentSession:
    """As much of a botocore session as a plan asks for, from the environment alone."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def get_scoped_config(self) -> dict[str, Any]:
        return {}

    def get_config_variable(self, name: str) -> str | None:
        known = {"region": "AWS_DEFAULT_REGION", "ca_bundle": "AWS_CA_BUNDLE"}
        return self._environ.get(known.get(name, "")) or None

    def get_credentials(self) -> EnvironmentSession:
        return self

    def get_frozen_credentials(self) -> Frozen:
        environ = self._environ
        token = environ.get("AWS_SECURITY_TOKEN") or environ.get("AWS_SESSION_TOKEN")
        return Frozen(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], token)


def environment_session(profile: str | None) -> EnvironmentSession | None:
    """The plain case, if it is one."""
    environ = dict(os.environ)
    if profile or sys.platform == "darwin":  # where the system may have proxies of its own
        return None
    if not environ.get("AWS_ACCESS_KEY_ID") or not environ.get("AWS_SECRET_ACCESS_KEY"):
        return None
    named = {name for name, value in environ.items() if name.startswith("AWS_") and value}
    if named - _UNDERSTOOD - _BESIDE_THE_POINT:
        return None
    if any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name, value in environ.items() if value):
        return None
    config = environ.get("AWS_CONFIG_FILE", "~/.aws/config")
    shared = environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return EnvironmentSession(environ) if _nothing_in(config) and _nothing_in(shared) else None


def _nothing_in(path: str) -> bool:
    try:
        return os.stat(os.path.expanduser(os.path.expandvars(path))).st_size == 0
    except FileNotFoundError:
        return True
    except OSError:
        return False
