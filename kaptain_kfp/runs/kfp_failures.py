"""What went wrong with a request to Kubeflow Pipelines: sorted, and put in words."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import urllib3
from kfp_server_api import ApiException
from urllib3 import exceptions as trouble

from kaptain_kfp.exceptions import (
    ConfigurationError,
    KaptainError,
    RunError,
    RunnerUnavailableError,
)

from .kfp_settings import KfpSettings

__all__ = ["AnswerLostError", "Failure", "Fate", "failure_of", "named"]

_LONGEST = 500
_FROM_BETWEEN = (502, 504)
"""What a proxy says that lost the server."""


class Fate(Enum):
    """What became of a request that failed."""

    UNSENT = "it can't have been done"
    UNKNOWN = "it may have been done"
    REFUSED = "it was not done, and won't be"


class AnswerLostError(RunnerUnavailableError):
    """Raised when a request may have been done, or not: its answer got lost.

    Attributes:
        may_go_on: Whether the server may still be at it.
    """

    may_go_on = True


@dataclass(frozen=True)
class Failure:
    """A request that failed.

    Attributes:
        fate: Whether it may have been done.
        status: The HTTP status; 0 without an answer.
        message: What the server or the connection had to say.
        reason: One CamelCase word.
        retry_after: Seconds after which the server wants to be asked again.
    """

    fate: Fate
    status: int
    message: str
    reason: str
    retry_after: float | None = None


_REASONS = {
    400: "Invalid",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "AlreadyExists",
    412: "FailedPrecondition",
    413: "TooLarge",
    429: "TooManyRequests",
}


def failure_of(error: Exception) -> Failure:
    """Returns what an error of the client library means."""
    if isinstance(error, ApiException) and error.status:
        return _answered(error)
    cause: BaseException = error
    if isinstance(error, trouble.MaxRetryError) and error.reason is not None:
        cause = error.reason
    if isinstance(cause, trouble.SSLError):
        return Failure(Fate.REFUSED, 0, _told(cause), "TlsFailed")
    if isinstance(cause, trouble.NameResolutionError):
        return Failure(Fate.UNSENT, 0, "its name can't be resolved", "Unreachable")
    if isinstance(cause, (trouble.NewConnectionError, trouble.ConnectTimeoutError)):
        timed_out = isinstance(cause, trouble.ConnectTimeoutError) and not isinstance(
            cause, trouble.NewConnectionError
        )
        said = "it doesn't answer" if timed_out else _told(cause)
        return Failure(Fate.UNSENT, 0, said, "Unreachable")
    if isinstance(cause, trouble.ReadTimeoutError):
        return Failure(Fate.UNKNOWN, 0, "its answer didn't come in time", "Timeout")
    return Failure(Fate.UNKNOWN, 0, _told(cause), "ConnectionLost")


def named(failure: Failure, asked: str, settings: KfpSettings) -> KaptainError:
    """Returns the error that says what was asked of whom, what came of it, and what to do.

    Args:
        failure: What went wrong.
        asked: What was asked, e.g. ``start the run 'm train'``.
        settings: Whom.
    """
    where = f"Kubeflow Pipelines at {settings.host}"
    facts: dict[str, Any] = {"resource": settings.host, "reason": failure.reason}
    status, message = failure.status, _without_secrets(failure.message, settings)
    if not status and failure.fate is not Fate.REFUSED:
        kind = RunnerUnavailableError if failure.fate is Fate.UNSENT else AnswerLostError
        return kind(
            f"{where} can't be reached to {asked}: {message}.",
            hint="See that it runs and that the address is right: Config(kfp_host=...) or "
            "KF_PIPELINES_ENDPOINT.",
            **facts,
        )
    if status == 429:
        return RunnerUnavailableError(
            f"{where} has too much to do to {asked}: {message}.", hint="Try again later.", **facts
        )
    if status >= 500:
        lost = AnswerLostError(
            f"{where} failed to {asked} ({status}): {message}.",
            hint="Try again; if it stays so, see the log of the deployment ml-pipeline.",
            **facts,
        )
        lost.may_go_on = status in _FROM_BETWEEN
        return lost
    if status and status not in (401, 403) and not 200 <= status < 400:
        return RunError(
            f"{where} refused to {asked} ({status}): {message}.",
            hint=_REMEDIES.get(status, "See that the address is that of the API."),
            **facts,
        )
    what = f"refused to {asked} ({status})" if status else f"isn't trusted to {asked}"
    return ConfigurationError(
        f"{where} {what}: {message}.", hint=_access_remedy(failure, settings), **facts
    )


_REMEDIES = {
    400: "Correct what the message names.",
    404: "See that it wasn't deleted, and that the address is that of the API.",
    409: "It is there already, or is in a state that doesn't allow it.",
    413: "Make the pipeline smaller.",
}


_PROXY_REMEDY = "Or reach it without the API server's proxy: Config(kfp_host=...)."
_PROXY_REMEDIES = {
    "TlsFailed": "Set certificate-authority(-data) in kubeconfig to that of the cluster. ",
    "Unauthorized": "The credentials of the kubeconfig aren't accepted, or expired: log in again. ",
    "Forbidden": "Have get, create and delete granted on services/proxy, for the name "
    "ml-pipeline:http in its namespace. ",
}


def _access_remedy(failure: Failure, settings: KfpSettings) -> str:
    if settings.proxy is not None:
        return _PROXY_REMEDIES.get(failure.reason, "") + _PROXY_REMEDY
    if failure.reason == "TlsFailed":
        return "Give the authority's certificate: Config(kfp_ca_cert='/path/ca.pem')."
    if failure.reason in ("Redirected", "NoApi"):
        return (
            "A login page may be in between: give Config(kfp_cookies=...) or Config(kfp_token=...);"
            " or the address is not that of the API."
        )
    if failure.status == 403:
        place = f" in the namespace {settings.namespace!r}" if settings.namespace else ""
        return f"Ask for the role kubeflow-edit{place}, or use another namespace=."
    if settings.token is None and settings.cookies is None:
        return "Give Config(kfp_token=...) or Config(kfp_cookies=...)."
    return "The token or cookie is not accepted, or expired: get a new one."


def _answered(error: ApiException) -> Failure:
    status = int(error.status)
    location = str((error.headers or {}).get("Location", "")) if 300 <= status < 400 else ""
    if location:
        parts = urlsplit(location)
        place = f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else parts.path
        return Failure(Fate.REFUSED, status, f"it points to {place}", "Redirected")
    message = _message(error.body) or str(error.reason or "no reason given")
    if status == 429:
        return Failure(Fate.UNSENT, status, message, _REASONS[status], _retry_after(error))
    if status >= 500:
        return Failure(Fate.UNKNOWN, status, message, "ServerError", _retry_after(error))
    return Failure(Fate.REFUSED, status, message, _REASONS.get(status, "Refused"))


def _message(body: str | bytes | None) -> str:
    """Returns what an answer says: the message of the API, else its first line."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    try:
        told = json.loads(text)
    except ValueError:
        told = re.sub(r"<[^>]*>", " ", text)
    if isinstance(told, dict):
        told = told.get("message") or told.get("error") or told.get("error_message") or ""
    return _one_line(str(told))


def _one_line(text: str) -> str:
    line = " ".join(text.split()).rstrip(". ")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _told(cause: BaseException) -> str:
    # urllib3 begins with the object that had the trouble, and its address in memory
    text = re.sub(r"^<?[\w.]+(\(.*?\)| object at 0x\w+>): ", "", str(cause))
    text = text or type(cause).__name__
    return _one_line(text)


def _retry_after(error: ApiException) -> float | None:
    given = (error.headers or {}).get("Retry-After")
    if not given:
        return None
    try:
        return max(0.0, float(urllib3.Retry().parse_retry_after(str(given))))
    except trouble.InvalidHeader:
        return None


def _without_secrets(text: str, settings: KfpSettings) -> str:
    secrets = [settings.cookies]
    if settings.token is not None:
        with suppress(ConfigurationError):  # then it can't be in there
            secrets.append(settings.token(False))
    for secret in filter(None, secrets):
        text = text.replace(str(secret), "***")
    return text
