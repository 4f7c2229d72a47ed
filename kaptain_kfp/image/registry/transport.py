"""HTTP to one registry, and to wherever it sends us: one request, one answer, no secrets astray."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from kaptain_kfp.image.registry.names import is_loopback
from kaptain_kfp.version import __version__

if TYPE_CHECKING:
    from urllib3 import PoolManager
    from urllib3.response import BaseHTTPResponse

__all__ = ["Body", "Transport", "is_downgrade", "origin_of"]

Body: TypeAlias = Callable[[], Iterable[bytes]]
"""Makes the body of a request, anew each time it is sent; its length stands in the headers."""

CONNECT_SECONDS = 15.0
READ_SECONDS = 300.0
"""Registries on object storage put a blob's chunks together before they answer."""

_CERTIFICATE = re.compile(
    "-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)
_KEEPS_METHOD = (307, 308)
_REDIRECTS = (301, 302, 303, *_KEEPS_METHOD)
_HOPS = 5


class Transport:
    """HTTP as a registry needs it; may be used by several threads.

    Args:
        host: The registry's host with port.
        plain: Whether it speaks HTTP without TLS.
        ca: Certificates as PEM text that are trusted besides the system's.
    """

    def __init__(self, host: str, *, plain: bool = False, ca: str | None = None) -> None:
        self.plain = plain
        self.origin = f"{'http' if plain else 'https'}://{host}"
        self._ca = ca
        self._pools: dict[tuple[str | None, bool], PoolManager] = {}
        self._tls: ssl.SSLContext | None = None

    def close(self) -> None:
        """Closes the connections."""
        for pool in self._pools.values():
            pool.clear()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
        body: Body | None = None,
        secret_body: bool = False,
    ) -> BaseHTTPResponse:
        """Sends a request, and follows redirects.

        Args:
            method: E.g. ``GET``.
            url: Where to, in full.
            headers: To send wherever it goes.
            authorization: The header that is sent to this URL's own origin, and to no other.
            body: Makes the body.
            secret_body: Whether that, too, is for this URL's own origin only: a redirect to another
                one isn't followed then.

        Returns:
            The answer, its body not yet read.

        Raises:
            urllib3.exceptions.HTTPError: There was none.
        """
        home = origin_of(url)
        sent = {"User-Agent": f"kaptain-kfp/{__version__}", **(headers or {})}
        for _ in range(_HOPS):
            secret = {"Authorization": authorization} if authorization else {}
            response = self._pool(url).request(
                method,
                url,
                headers={**sent, **(secret if origin_of(url) == home else {})},
                body=body() if body else None,
                redirect=False,
                retries=False,
                preload_content=False,
                # what is stored is compared by digest, as it is
                decode_content=False,
            )
            target = _next_url(method, url, response)
            if target is None or (secret_body and origin_of(target) != home):
                break
            response.drain_conn()
            url = target
        return response

    def _pool(self, url: str) -> PoolManager:
        proxy = _proxy(url)
        secure = any(address.startswith("https:") for address in (url, proxy or ""))
        if (proxy, secure) not in self._pools:
            self._pools[proxy, secure] = self._new_pool(proxy, secure)
        return self._pools[proxy, secure]

    def _new_pool(self, proxy: str | None, secure: bool) -> PoolManager:
        from urllib3 import PoolManager, ProxyManager, Timeout
        from urllib3.util import make_headers

        timeout = Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        # to read the system's authorities takes longer than most requests
        tls = self._tls_context() if secure else None
        if proxy is None:
            return PoolManager(timeout=timeout, ssl_context=tls, maxsize=8)
        parts = urlsplit(proxy)
        login = unquote(parts.netloc.rpartition("@")[0])
        return ProxyManager(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            proxy_headers=make_headers(proxy_basic_auth=login) if login else None,
            timeout=timeout,
            ssl_context=tls,
            maxsize=8,
        )

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._ca:
                # what stands between certificates may be in any alphabet
                self._tls.load_verify_locations(cadata="\n".join(_CERTIFICATE.findall(self._ca)))
        return self._tls


def origin_of(url: str) -> str:
    """Returns scheme, host and port of a URL, with the port that is left out."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def is_downgrade(url: str, target: str) -> bool:
    """Tells whether a URL leads from TLS to plain text, where nobody is followed."""
    return url.startswith("https:") and not target.startswith("https:")


def _next_url(method: str, url: str, response: BaseHTTPResponse) -> str | None:
    """Returns where an answer sends us, None where it is to be taken as it is."""
    location = response.headers.get("Location")
    kept = method in ("GET", "HEAD") or response.status in _KEEPS_METHOD
    if response.status not in _REDIRECTS or not location or not kept:
        return None
    target = urljoin(url, location)
    return None if is_downgrade(url, target) else target


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if is_loopback(parts.netloc) or proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
