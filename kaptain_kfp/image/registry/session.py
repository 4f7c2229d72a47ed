"""Requests to one registry: let in, tried again where that is safe, refused with a clear error."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from kaptain_kfp.exceptions import RegistryError
from kaptain_kfp.image.registry.errors import Task, plain_location, refused, unreachable
from kaptain_kfp.image.registry.patience import Patience, repeat
from kaptain_kfp.image.registry.tokens import Authorizer, Scopes
from kaptain_kfp.image.registry.transport import Body, Transport, is_downgrade, origin_of

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

__all__ = ["Answer", "Session"]

_MAX_BODY = 16 << 20
"""Of manifests, configurations and errors; blobs are streams."""


@dataclass(frozen=True)
class Answer:
    """An answer that was read.

    Attributes:
        status: The HTTP status.
        headers: By names in lower case.
        body: Its bytes.
    """

    status: int
    # may hold a token
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Session:
    """Requests to one registry; may be used by several threads.

    Args:
        transport: HTTP to it.
        authorizer: How it lets us in.
        patience: How long to try.
    """

    def __init__(self, transport: Transport, authorizer: Authorizer, patience: Patience) -> None:
        self._transport = transport
        self._authorizer = authorizer
        self.patience = patience

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def request(
        self,
        method: str,
        target: str,
        task: Task,
        *,
        scopes: Scopes,
        accept: Collection[int],
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        replay: bool = True,
    ) -> Answer:
        """Sends a request, and reads its answer.

        Args:
            method: E.g. ``GET``.
            target: Path, or a URL that the registry gave.
            task: What it is for.
            scopes: What a token must allow.
            accept: The statuses to return; all others are errors.
            headers: To send with it.
            body: Makes its body.
            replay: Whether it may be sent again when nobody knows what became of it; if not, an
                answer of 5xx is returned, too.

        Raises:
            RegistryError: The registry refused.
            RegistryUnavailableError: It can't be reached.
        """
        with self._opened(
            method, target, task, scopes=scopes, headers=headers, body=body, replay=replay
        ) as response:
            answer = _read(response)
        if answer.status in accept or (answer.status >= 500 and not replay):
            return answer
        raise self._refused(task, answer)

    @contextmanager
    def stream(
        self, target: str, task: Task, *, scopes: Scopes, headers: Mapping[str, str] | None = None
    ) -> Iterator[BaseHTTPResponse]:
        """Yields the answer to a GET, whose body the caller reads.

        Raises:
            RegistryError: The registry refused, or can't be reached.
        """
        with self._opened("GET", target, task, scopes=scopes, headers=headers) as response:
            if response.status not in (200, 206):
                raise self._refused(task, _read(response))
            yield response

    @contextmanager
    def _opened(
        self,
        method: str,
        target: str,
        task: Task,
        *,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        replay: bool = True,
    ) -> Iterator[BaseHTTPResponse]:
        from urllib3.exceptions import HTTPError

        url = urljoin(f"{self._transport.origin}/", target)
        if is_downgrade(self._transport.origin, url):
            raise plain_location(task, url)

        def send() -> BaseHTTPResponse:
            return self._send(method, url, task, scopes, headers, body)

        try:
            response = repeat(send, self.patience, replay=replay)
            try:
                yield response
            finally:
                # a body that wasn't read to its end would hold the connection
                response.close()
        except HTTPError as error:
            raise unreachable(task, error) from None

    def _send(
        self,
        method: str,
        url: str,
        task: Task,
        scopes: Scopes,
        headers: Mapping[str, str] | None,
        body: Body | None,
    ) -> BaseHTTPResponse:
        ours = origin_of(url) == origin_of(self._transport.origin)
        used = self._authorizer.header(scopes, task) if ours else None
        response = self._transport.send(method, url, headers=headers, authorization=used, body=body)
        if response.status != 401 or not ours:
            return response
        challenge = response.headers.get("WWW-Authenticate", "")
        try:
            fresh = self._authorizer.renewed(challenge, scopes, used, task)
        except BaseException:
            response.close()
            raise
        if fresh is None:
            return response
        response.drain_conn()
        return self._transport.send(method, url, headers=headers, authorization=fresh, body=body)

    def _refused(self, task: Task, answer: Answer) -> RegistryError:
        authorizer = self._authorizer
        return refused(
            task,
            answer.status,
            dict(answer.headers),
            answer.body,
            authorizer.login,
            authorizer.note,
        )


def _read(response: BaseHTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = response.read(_MAX_BODY)
    if len(body) < _MAX_BODY:
        # to the end of chunked bodies, so that the connection serves again
        response.drain_conn()
    return Answer(response.status, headers, body)
