"""Where a bucket is and with whose credentials it is asked, as botocore would find out, for the fast drivers.

Credentials come from botocore's own chain (environment, profile, single sign-on, roles) and are refreshed by it; so do
the region, the endpoint and the certificates. What the fast drivers do not do is found here, before the first request,
and is a reason to leave the bucket to botocore's client.

Invariants:
- No setting that botocore would obey is passed over: it is obeyed, or it is a reason.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from swampstore.errors import StoreForbidden
from swampstore.stores.s3_environment import EnvironmentSession, environment_session
from swampstore.stores.s3_faults import client_faults, translate
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_sign import Keys

_REGION = re.compile(r"[a-z]{2}(?:-gov)?-[a-z]+-\d{1,2}")
_ANY_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_HOST_LABELS = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_TRANSFER_SETTINGS = {
    "max_concurrent_requests", "max_queue_size", "multipart_threshold", "multipart_chunksize", "max_bandwidth",
    "preferred_transfer_client", "target_bandwidth", "payload_signing_enabled", "use_arn_region",
}  # fmt: skip
"""Settings of a profile's ``s3`` section that concern other programs, or ask for what is done anyway."""


class Unfit(Exception):
    """The fast drivers cannot serve this bucket; the text says why."""


class Plan:
    """How to reach one bucket. ``base`` is the path of the bucket on ``host``; ``aws`` that the host is the service's.

    ``keys()`` are the credentials now; it may wait for a refresh, which ``due()`` tells beforehand.
    """

    def __init__(
        self, endpoint: SplitResult, options: S3Options, region: str, credentials: Any, ca: str | None
    ) -> None:
        tls = endpoint.scheme == "https"
        host = endpoint.hostname or ""
        self.region = region
        self.aws = False
        self.port = endpoint.port or (443 if tls else 80)
        self.address = host
        self.base = quote(endpoint.path.rstrip("/"), safe="/-._~%")
        if _path_style(options, host, tls=tls):
            self.base += f"/{options.bucket}"
        else:
            self.address = f"{options.bucket}.{host}"
        shown = f"[{self.address}]" if ":" in self.address else self.address
        self.host = shown if endpoint.port in (None, 443 if tls else 80) else f"{shown}:{endpoint.port}"
        self.tls = _certificates(ca) if tls else None
        self._credentials = credentials

    def due(self) -> bool:
        """Whether the next :meth:`keys` will ask somebody for new credentials."""
        needed = getattr(self._credentials, "refresh_needed", None)
        return bool(needed and needed())

    def keys(self) -> Keys:
        """The credentials. Raises ``StoreForbidden`` when they cannot be refreshed."""
        try:
            frozen = self._credentials.get_frozen_credentials()
        except client_faults() as error:
            raise translate(error, what="credentials") from error
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)


def make_plan(options: S3Options, *, region: str = "") -> Plan:
    """The plan for ``options``; ``region`` wins over what is configured.

    Raises ``Unfit``; ``BadConfig`` for a profile that is not there, ``StoreForbidden`` without credentials. Credentials
    may be fetched over the network.
    """
    session = environment_session(options.profile)
    return _planned(session, options, region) if session else _planned_with_botocore(options, region)


def _planned_with_botocore(options: S3Options, region: str) -> Plan:
    import botocore.session

    try:
        return _planned(botocore.session.Session(profile=options.profile), options, region)
    except client_faults() as error:
        raise translate(error, what=options.url) from error


def _planned(session: Any, options: S3Options, region: str) -> Plan:
    scoped = session.get_scoped_config()
    region = region or options.region or session.get_config_variable("region") or "us-east-1"
    endpoint, aws = _endpoint(session, scoped, options, region)
    _check_settings(session, scoped, options)
    if not isinstance(session, EnvironmentSession):
        _check_proxies(endpoint.geturl())
    credentials = session.get_credentials()
    if credentials is None:
        raise StoreForbidden(
            f"{options.url}: there are no credentials",
            hint="configure AWS credentials (environment, ~/.aws/credentials, or a role)",
        )
    plan = Plan(endpoint, options, region, credentials, session.get_config_variable("ca_bundle"))
    plan.aws = aws
    return plan


def _endpoint(session: Any, scoped: Mapping[str, Any], options: S3Options, region: str) -> tuple[SplitResult, bool]:
    """The endpoint, and whether it is the service's own for the region."""
    if not _ANY_REGION.fullmatch(region):
        raise Unfit(f"{region!r} is not a region's name")
    configured = options.endpoint or _configured(session, scoped)
    if configured is None:
        if not _REGION.fullmatch(region):
            raise Unfit(f"the endpoint of region {region} is not known here")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        return urlsplit(f"https://s3.{region}.{suffix}"), True
    try:
        parts = urlsplit(configured)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise Unfit("the endpoint cannot be read") from None
    if not fits or parts.query or parts.fragment or "@" in parts.netloc or not parts.netloc.isascii():
        raise Unfit("the endpoint is no plain http(s) URL")
    return parts, False


def _configured(session: Any, scoped: Mapping[str, Any]) -> str | None:
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    if "services" in scoped:
        raise Unfit("the profile names endpoints by service")
    found = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or scoped.get("endpoint_url")
    return str(found) if found else None


def _check_settings(session: Any, scoped: Mapping[str, Any], options: S3Options) -> None:
    for name in ("use_dualstack_endpoint", "use_fips_endpoint"):
        if session.get_config_variable(name):
            raise Unfit(f"{name} is set")
    section = scoped.get("s3")
    unknown = set(section) - _TRANSFER_SETTINGS if isinstance(section, Mapping) else set()
    if unknown:
        raise Unfit(f"the profile's s3 section sets {', '.join(sorted(unknown))}")
    if not _HOST_LABELS.fullmatch(options.bucket) or options.bucket.endswith(("--x-s3", "--op-s3", ".mrap")):
        raise Unfit(f"the bucket {options.bucket} is of a kind of its own")


def _check_proxies(url: str) -> None:
    from botocore.utils import get_environ_proxies

    if urlsplit(url).scheme in get_environ_proxies(url):
        raise Unfit("a proxy is configured (HTTPS_PROXY, HTTP_PROXY)")


def _path_style(options: S3Options, host: str, *, tls: bool) -> bool:
    wanted = options.path_style if options.path_style is not None else bool(options.endpoint)
    return wanted or _is_address(host) or (tls and "." in options.bucket)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _certificates(bundle: str | None) -> ssl.SSLContext:
    """What servers are believed: the configured bundle, else the one that botocore would take."""
    if not bundle:
        bundle = _usual_bundle()
    try:
        context = ssl.create_default_context(cafile=None if os.path.isdir(bundle) else bundle)
        if os.path.isdir(bundle):
            context.load_verify_locations(capath=bundle)
    except (OSError, ssl.SSLError) as error:
        raise Unfit(f"the certificates in {bundle} cannot be read: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _usual_bundle() -> str:
    if find_spec("certifi") is not None:
        import certifi

        return str(certifi.where())
    found = find_spec("botocore")
    if found is None or found.origin is None:
        raise Unfit("botocore's certificates are not there")
    return os.path.join(os.path.dirname(found.origin), "cacert.pem")
