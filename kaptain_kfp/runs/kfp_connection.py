"""The connection to Kubeflow Pipelines' API: every request goes through `KfpConnection.call`."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Any

import kfp_server_api
import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.logs import get_logger

from .kfp_failures import Failure, Fate, failure_of, named
from .kfp_settings import KfpSettings

__all__ = ["LARGEST_PAGE", "KfpConnection", "contains", "differs", "equals"]

_TIMEOUT_SECONDS = (5.0, 30.0)

_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try."""

_LONGEST_PAUSE = 60.0
_PAGE = 100
LARGEST_PAGE = 200
"""The server lists no more at once."""

_EQUALS, _NOT_EQUALS, _IS_SUBSTRING = 1, 2, 9


class KfpConnection:
    """Asks Kubeflow Pipelines, and answers with plain JSON.

    What a later version of the API adds, also to its enumerations, is passed on as it is. Requests
    are tried again where that is safe: connections that weren't made, 429 (after the time that the
    server asks for), and, of requests that may be repeated, lost answers and errors of the server.
    A 401 asks for a new token once. Redirects are not followed: credentials are meant for one host.

    Args:
        settings: How it is reached.
        sleep: Waits for some seconds.
        clock: Tells the seconds that have passed since some moment.
        timeouts: Seconds for the connection, and for each piece of an answer.
    """

    def __init__(
        self,
        settings: KfpSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        timeouts: tuple[float, float] = _TIMEOUT_SECONDS,
    ) -> None:
        self.settings = settings
        self.sleep = sleep
        self.clock = clock
        self._timeouts = timeouts
        self._renew = False
        configuration = kfp_server_api.Configuration(host=settings.host)
        configuration.ssl_ca_cert = settings.ca_cert
        configuration.verify_ssl = settings.verify_tls
        configuration.retries = urllib3.Retry(total=0, raise_on_redirect=False)
        if settings.token is not None:
            configuration.api_key_prefix["authorization"] = "Bearer"
            configuration.api_key["authorization"] = "set before each request"
            configuration.refresh_api_key_hook = self._refresh
        client = kfp_server_api.ApiClient(configuration, cookie=settings.cookies)
        if settings.proxy is not None:
            client.rest_client.pool_manager = settings.proxy
        self.runs = kfp_server_api.RunServiceApi(client)
        self.recurring_runs = kfp_server_api.RecurringRunServiceApi(client)
        self.experiments = kfp_server_api.ExperimentServiceApi(client)
        self.pipelines = kfp_server_api.PipelineServiceApi(client)
        self.uploads = kfp_server_api.PipelineUploadServiceApi(client)
        self._health = kfp_server_api.HealthzServiceApi(client)

    def __repr__(self) -> str:
        return f"KfpConnection({self.settings.host})"

    @cached_property
    def namespace(self) -> str | None:
        """Where runs belong: None where the server has one user only.

        Raises:
            ConfigurationError: The server has many users, and no namespace is known.
        """
        if not self.health().get("multi_user"):
            return None
        if self.settings.namespace is None:
            raise ConfigurationError(
                f"Kubeflow Pipelines at {self.settings.host} has many users, and the namespace "
                "to work in is not known.",
                resource=self.settings.host,
                reason="NoNamespace",
                hint="Give Config(namespace='...'): that of your Kubeflow profile.",
            )
        return self.settings.namespace

    def health(self) -> dict[str, Any]:
        """Returns what the server says of itself: ``tag_name`` (its version), ``multi_user``."""
        return self.call("say how it is", self._health.healthz_service_get_healthz)

    def get_full_run(self, run_id: str, **options: Any) -> Any:
        """Reads a run with all that the server knows of its tasks; to be made by `call`.

        The client library doesn't know the view yet, and servers don't mind one that they don't
        know.
        """
        return self.runs.api_client.call_api(
            "/apis/v2beta1/runs/{run_id}",
            "GET",
            {"run_id": run_id},
            [("view", "FULL")],
            {"Accept": "application/json"},
            auth_settings=["Bearer"],
            _return_http_data_only=True,
            **options,
        )

    def call(
        self,
        asked: str,
        method: Callable[..., Any],
        *arguments: Any,
        repeatable: bool = True,
        **options: Any,
    ) -> dict[str, Any]:
        """Makes a request.

        Args:
            asked: What is asked for, for errors: ``start the run 'm train'``.
            method: Of the client library.
            *arguments: Its arguments.
            repeatable: Whether it may be made twice where it is not known if it was done.
            **options: Its options; None are left out.

        Returns:
            The answer.

        Raises:
            AnswerLostError: It may have been done, or not.
            RunnerUnavailableError: The server can't be reached, or has too much to do.
            ConfigurationError: Credentials, certificates or rights aren't as they should be.
            RunError: The server refuses; `reason` says why, e.g. ``NotFound``.
        """
        given = {name: value for name, value in options.items() if value is not None}
        refreshed = False
        pauses = iter(_PAUSES)
        while True:
            answer = self._once(method, arguments, given)
            if not isinstance(answer, Failure):
                return answer
            if answer.status == 401 and not refreshed and self.settings.token is not None:
                refreshed = self._renew = True
                continue
            again = answer.fate is Fate.UNSENT or (answer.fate is Fate.UNKNOWN and repeatable)
            pause = next(pauses, None) if again else None
            if pause is None:
                raise named(answer, asked, self.settings)
            if answer.retry_after is not None:
                pause = min(max(pause, answer.retry_after), _LONGEST_PAUSE)
            get_logger().debug("%s: %s; again in %g s", asked, answer.message, pause)
            self.sleep(pause)

    def pages(
        self, asked: str, method: Callable[..., Any], key: str, *arguments: Any, **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Yields what a list request lists, page by page; `call` says the rest.

        Args:
            asked: What is asked for.
            method: Of the client library.
            key: Under which the answer has the list.
            *arguments: Its arguments.
            **options: Its options; `page_size` is `LARGEST_PAGE` at most.
        """
        options = {"page_size": _PAGE, **options}
        token = None
        while True:
            page = self.call(asked, method, *arguments, page_token=token, **options)
            yield from page.get(key) or ()
            token = page.get("next_page_token")
            if not token:
                return

    def _once(
        self, method: Callable[..., Any], arguments: tuple[Any, ...], options: Mapping[str, Any]
    ) -> dict[str, Any] | Failure:
        try:
            with nullcontext() if self.settings.verify_tls else _unchecked():
                response = method(
                    *arguments,
                    **options,
                    _preload_content=False,
                    _request_timeout=self._timeouts,
                )
                body = response.data
        except (kfp_server_api.ApiException, HTTPError) as error:
            return failure_of(error)
        answer: Any = None
        with suppress(ValueError):
            answer = json.loads(body or b"{}")
        if isinstance(answer, dict):
            return answer
        return Failure(Fate.REFUSED, int(response.status), "it answers with a web page", "NoApi")

    def _refresh(self, configuration: Any) -> None:
        assert self.settings.token is not None
        newer, self._renew = self._renew, False
        configuration.api_key["authorization"] = self.settings.token(newer)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Silences the warning about certificates that aren't checked: whoever said so knows it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        yield


def equals(key: str, value: str) -> str:
    """Returns the filter of a list request for what has exactly that value."""
    return _filter(_EQUALS, key, value)


def differs(key: str, value: str) -> str:
    """Returns the filter of a list request for what has another value."""
    return _filter(_NOT_EQUALS, key, value)


def contains(key: str, part: str) -> str:
    """Returns the filter of a list request for what has a text in its value, in any case."""
    return _filter(_IS_SUBSTRING, key, part)


def _filter(operation: int, key: str, value: str) -> str:
    predicate = {"operation": operation, "key": key, "stringValue": value}
    return json.dumps({"predicates": [predicate]})
