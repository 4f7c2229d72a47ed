"""What a registry's answers, and its silence, mean to a user."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from kaptain_kfp.exceptions import (
    ImageNotFoundError,
    RegistryAuthError,
    RegistryError,
    RegistryUnavailableError,
)
from kaptain_kfp.image.registry.causes import distrust, words_of
from kaptain_kfp.image.registry.credentials import Login
from kaptain_kfp.image.registry.patience import retry_after

__all__ = ["BLOB_MISSING", "Task", "plain_location", "refused", "unreachable"]

BLOB_MISSING = "BlobMissing"
"""The reason of the error of a manifest some of whose blobs the registry hasn't."""

_MAX_TOLD = 400


@dataclass(frozen=True)
class Task:
    """What is being done, for errors.

    Attributes:
        registry: Host with port, as people write it.
        subject: What it is done to, e.g. ``127.0.0.1:5000/team/mnist:1``.
        doing: E.g. ``read the manifest``.
        pushing: Whether it needs the right to write.
    """

    registry: str
    subject: str
    doing: str
    pushing: bool = False


def refused(
    task: Task, status: int, headers: dict[str, str], body: bytes, login: Login | None, note: str
) -> RegistryError:
    """Returns the error of an answer that isn't the one that was hoped for.

    Args:
        task: What was asked.
        status: The HTTP status.
        headers: By names in lower case.
        body: The body, or its beginning.
        login: Who asked.
        note: What else is known of the credentials; empty for nothing.
    """
    codes, told = _told(body)
    said = f"HTTP {status}{': ' + told if told else ''}"
    if status in (401, 403) or set(codes) & {"UNAUTHORIZED", "DENIED"}:
        return _denied(task, said, login, note)
    if "MANIFEST_BLOB_UNKNOWN" in codes:
        return _error(
            task, said, BLOB_MISSING, "Its storage may be cleaned up meanwhile: push again."
        )
    if status == 404:
        return _missing(task, said)
    if status == 405 or "UNSUPPORTED" in codes:
        return RegistryError(
            f"{task.registry} doesn't let anybody {task.doing}, for {task.subject} ({said}).",
            resource=task.subject,
            reason="RegistryReadOnly" if task.pushing else "Unsupported",
            hint="It may be read-only at the moment, or a mirror: push to a registry that takes "
            "images, or ask who runs it.",
        )
    if status == 429:
        return _too_many(task, said, retry_after(headers.get("retry-after", "")))
    if status == 413:
        return _error(
            task, said, "TooLarge", "A proxy before the registry limits uploads: raise it."
        )
    if status == 400 and b"HTTPS server" in body:
        hint = "It speaks TLS: give docker_registry_url='https://...' and its certificate."
        return _error(task, said, "TLSExpected", hint)
    if status >= 500:
        return RegistryUnavailableError(
            f"{task.registry} failed to {task.doing}, for {task.subject} ({said}).",
            resource=task.subject,
            reason="RegistryFailed",
            hint="Try again later, and look into the registry's log: its disk may be full.",
        )
    return _error(task, said, codes[0] if codes else "Refused", None)


def unreachable(task: Task, error: BaseException) -> RegistryError:
    """Returns the error of a request that got no answer.

    Args:
        task: What was asked.
        error: What the HTTP client raised; its own words may hold secrets of a URL.
    """
    if cause := distrust(error):
        return _tls(task, cause)
    return RegistryUnavailableError(
        f"{task.registry} can't be reached to {task.doing}, for {task.subject}: {words_of(error)}.",
        resource=task.subject,
        reason="RegistryUnavailable",
        hint="Check the registry's host and port, the network and its proxies, then try again.",
    )


def plain_location(task: Task, url: str) -> RegistryError:
    """Returns the error of a registry behind TLS that sends us to where there is none.

    Args:
        task: What is being done.
        url: Where it sends us; its path and query may be secrets.
    """
    return RegistryError(
        f"{task.registry} sends us to http://{urlsplit(url).hostname} to {task.doing}, for "
        f"{task.subject}, which isn't done: it would travel there in plain text.",
        resource=task.subject,
        reason="UnsafeLocation",
        hint="The proxy before it has to tell it that it is reached by https:// "
        "(X-Forwarded-Proto).",
    )


def _denied(task: Task, said: str, login: Login | None, note: str) -> RegistryAuthError:
    trouble = (
        f"doesn't let {login.who} (from {login.source}) {task.doing}, for {task.subject}"
        if login
        else f"wants credentials to {task.doing}, for {task.subject}, and there are none"
    )
    right = "to push there" if task.pushing else "to pull it"
    hint = f"Log in with `docker login {task.registry}` as somebody who is allowed {right}"
    if not task.pushing:
        hint += "; if there is no such image, registries say the same"
    return RegistryAuthError(
        f"{task.registry} {trouble} ({said}).",
        resource=task.subject,
        reason="RegistryDenied",
        hint=f"{hint}.{' ' + note if note else ''}",
    )


def _missing(task: Task, said: str) -> ImageNotFoundError:
    hint = (
        "Its project or repository may have to be made first."
        if task.pushing
        else "Check the name, the tag and the registry: skopeo inspect docker://<name> shows it."
    )
    return ImageNotFoundError(
        f"{task.subject} isn't there, says {task.registry}, asked to {task.doing} ({said}).",
        resource=task.subject,
        reason="ImageNotFound",
        hint=hint,
    )


def _too_many(task: Task, said: str, seconds: float) -> RegistryUnavailableError:
    wait = f" in {timedelta(seconds=round(seconds))}" if seconds else ""
    return RegistryUnavailableError(
        f"{task.registry} has had too many requests to {task.doing}, for {task.subject} ({said}).",
        resource=task.subject,
        reason="TooManyRequests",
        hint=f"Try again{wait}; who logs in is mostly allowed more.",
    )


def _tls(task: Task, cause: ssl.SSLError) -> RegistryError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        hint = (
            "Give Config(docker_registry_url=..., docker_registry_certificate_provider="
            "DockerRegistryCertificateProvider.from_file(path)). The nodes' container runtime "
            "must trust it, too, to pull what is pushed."
        )
        words, reason = cause.verify_message, "CertificateUnknown"
    else:
        hint = "If it speaks HTTP without TLS, say so: docker_registry_url='http://host:port'."
        words, reason = (cause.reason or "TLS failed").replace("_", " ").lower(), "TLSFailed"
    return RegistryUnavailableError(
        f"{task.registry} can't be trusted to {task.doing}, for {task.subject}: {words}.",
        resource=task.subject,
        reason=reason,
        hint=hint,
    )


def _error(task: Task, said: str, reason: str, hint: str | None) -> RegistryError:
    return RegistryError(
        f"{task.registry} refused to {task.doing}, for {task.subject} ({said}).",
        resource=task.subject,
        reason=reason,
        hint=hint,
    )


def _told(body: bytes) -> tuple[list[str], str]:
    """Returns the codes of a registry's errors, and all that it says in one line."""
    try:
        errors = json.loads(body)["errors"]
        codes = [str(error["code"]) for error in errors]
        lines = [f"{error['code']} {error.get('message') or ''}".strip() for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [], ""
    return codes, "; ".join(lines)[:_MAX_TOLD]
