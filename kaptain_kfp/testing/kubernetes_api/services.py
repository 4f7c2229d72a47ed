"""Services of the cluster, reached through its API server as from a machine outside of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from urllib.parse import quote

import urllib3

from .answers import Answer, refusal
from .calls import Call
from .paths import Target

__all__ = ["Passed", "Services"]

_UPSTREAM_SECONDS = 60.0


@dataclass(frozen=True)
class Passed:
    """What a service answers.

    Attributes:
        status: The HTTP status.
        content: The body.
        headers: Those that are passed on.
    """

    status: int
    content: bytes
    headers: list[tuple[str, str]]


class Services:
    """Where the services of a cluster answer; may be changed from any thread while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urls: dict[tuple[str, str], str] = {}

    def put(self, namespace: str, name: str, url: str) -> None:
        """Puts a service in a namespace.

        Args:
            namespace: Where.
            name: With its port, as paths name it: ``ml-pipeline:http``.
            url: Where it answers, without a slash at the end.
        """
        with self._lock:
            self._urls[namespace, name] = url

    def pass_on(self, target: Target, call: Call) -> Answer | Passed:
        """Has a service answer; who asks is known to the API server only, not to the service."""
        namespace = target.namespace or ""
        with self._lock:
            url = self._urls.get((namespace, target.name))
        if url is None:
            return refusal(404, f'services "{target.name.partition(":")[0]}" not found')
        root = f"/{target.api_version}/namespaces/{namespace}/services/{target.name}/proxy"
        path = quote(call.path.removeprefix(f"/api{root}"), safe="/:")
        try:
            answer = urllib3.request(
                call.method,
                f"{url}{path}?{call.query}" if call.query else f"{url}{path}",
                body=call.body or None,
                headers={"Content-Type": call.content_type} if call.content_type else None,
                timeout=_UPSTREAM_SECONDS,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return refusal(503, f"error trying to reach service: {type(error).__name__}")
        kind = answer.headers.get("content-type", "application/octet-stream")
        return Passed(answer.status, answer.data, [("content-type", kind)])
