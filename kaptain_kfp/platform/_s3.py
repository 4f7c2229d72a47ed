"""The client of an object store, set up as the Secret of an S3ConfigurationProvider says.

Standard library only, boto3 once it is needed: this module goes into training images.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kaptain_kfp.platform._trust import trusted

__all__ = ["s3_client"]

_ATTEMPTS = 5
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_TRUE = ("true", "yes", "y", "1")


def s3_client(environment: Mapping[str, str], **settings: Any) -> Any:
    """Returns a client of S3, MinIO or another server that speaks like S3.

    What fails for a moment (throttling, a lost connection, an error of the server) is tried five
    times in all, with growing pauses; AWS_MAX_ATTEMPTS and AWS_RETRY_MODE of this process change
    that. The certificate authorities are those that boto3 trusts in this process (AWS_CA_BUNDLE,
    else REQUESTS_CA_BUNDLE: the path of a PEM file; else public ones), and those that are given.

    Args:
        environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION,
            S3_ENDPOINT, S3_SIGNATURE_VERSION, S3_FORCE_PATH_STYLE, S3_CA_CERTIFICATES (PEM text).
            Without keys, boto3 looks for credentials where it always does.
        **settings: Further ones of `botocore.config.Config`; they win.
    """
    from boto3.session import Session
    from botocore.config import Config
    from botocore.session import get_session

    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    endpoint = _url(given.get("S3_ENDPOINT"))
    keys: dict[str, Any] = _keys(given)
    # a session of its own: the script may have set up boto3's for where its data lie
    session = get_session()
    added = given.get("S3_CA_CERTIFICATES")
    return Session(botocore_session=session).client(
        "s3",
        endpoint_url=endpoint,
        region_name=given.get("AWS_REGION"),
        verify=trusted(session, added) if added else None,
        config=Config(**{**_config(given, endpoint, Config.OPTION_DEFAULTS), **settings}),
        **keys,
    )


def _config(
    given: Mapping[str, str], endpoint: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    made: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
    if not {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & set(os.environ):
        made["retries"] = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
    if "S3_SIGNATURE_VERSION" in given:
        made["signature_version"] = given["S3_SIGNATURE_VERSION"]
    if given.get("S3_FORCE_PATH_STYLE", "").lower() in _TRUE:
        made["s3"] = {"addressing_style": "path"}
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        # servers other than AWS, and older ones of MinIO, refuse the checksums of newer clients
        if endpoint is not None and name in options and f"AWS_{name.upper()}" not in os.environ:
            made[name] = "when_required"
    return made


def _keys(given: Mapping[str, str]) -> dict[str, str]:
    """Returns the credentials of the environment; a token counts only beside its keys."""
    if not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(given):
        return {}
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {name.lower(): given[name] for name in names if name in given}


def _url(endpoint: str | None) -> str | None:
    """Returns the URL of a server; one in a cluster is often named as ``host:port`` only."""
    if endpoint is None:
        return None
    return endpoint if "://" in endpoint else f"http://{endpoint}"
