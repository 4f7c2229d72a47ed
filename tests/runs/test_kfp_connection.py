"""The connection, against a real HTTP server that answers as the test says."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import (
    ConfigurationError,
    KaptainError,
    RunError,
    RunnerUnavailableError,
)
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_failures import AnswerLostError
from kaptain_kfp.runs.kfp_settings import KfpSettings

from .conftest import GOOD, Answer, Server, connected, serving

SECRET = "a-secret-token"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with serving() as made:
        yield made


def ask(connection: KfpConnection, repeatable: bool = True) -> dict[str, Any]:
    method = connection.runs.run_service_get_run
    return connection.call("read the run r", method, "r", repeatable=repeatable)


def told(status: int, message: str = "what it says", **headers: str) -> Answer:
    body = f'{{"error": "e", "code": 3, "message": "{message}", "details": []}}'
    return (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def test_an_answer_is_plain_json_with_all_that_later_versions_add(server: Server) -> None:
    server.answers = [(200, {}, '{"state": "BRAND_NEW", "added": {"x": 1}}')]
    connection, slept = server.connect()
    assert ask(connection) == {"state": "BRAND_NEW", "added": {"x": 1}}
    assert slept == []


def test_an_empty_answer(server: Server) -> None:
    server.answers = [(200, {}, "")]
    assert ask(server.connect()[0]) == {}


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "words"),
    [
        (told(400), RunError, "Invalid", ["refused to read the run r (400)", "what it says"]),
        (told(404), RunError, "NotFound", ["(404)", "deleted"]),
        (told(409), RunError, "AlreadyExists", ["(409)"]),
        (told(401), ConfigurationError, "Unauthorized", ["(401)", "kfp_token"]),
        (told(403), ConfigurationError, "Forbidden", ["(403)", "kubeflow-edit"]),
        ((418, {}, "no JSON <b>at</b>\n all"), RunError, "Refused", ["no JSON at all"]),
        ((400, {}, ""), RunError, "Invalid", ["Bad Request"]),
        (
            (302, {"Location": "https://login.example/dex?state=hidden"}, ""),
            ConfigurationError,
            "Redirected",
            ["https://login.example/dex", "kfp_cookies"],
        ),
        ((200, {}, "<html>Sign in</html>"), ConfigurationError, "NoApi", ["web page", "login"]),
    ],
)
def test_what_is_refused_is_said_in_words_at_once(
    server: Server, answer: Answer, kind: type[KaptainError], reason: str, words: list[str]
) -> None:
    server.answers = [answer]
    connection, slept = server.connect()
    with pytest.raises(kind) as caught:
        ask(connection)
    assert type(caught.value) is kind
    assert caught.value.reason == reason
    assert caught.value.hint
    for word in [server.url, *words]:
        assert word in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert (len(server.headers), slept) == (1, [])


@pytest.mark.parametrize("bad", [None, told(500), told(503), (502, {}, "<html>Bad gateway</html>")])
def test_what_may_be_repeated_is_repeated(server: Server, bad: Answer | None) -> None:
    server.answers = [bad, bad, GOOD]
    connection, slept = server.connect()
    assert ask(connection)["run_id"] == "r"
    assert slept == [0.5, 1.0]


@pytest.mark.parametrize(
    ("bad", "reason", "may_go_on"),
    [
        (None, "ConnectionLost", True),
        (told(500), "ServerError", False),
        (told(503), "ServerError", False),
        (told(504), "ServerError", True),
    ],
)
def test_what_may_not_be_repeated_is_asked_once(
    server: Server, bad: Answer | None, reason: str, may_go_on: bool
) -> None:
    server.answers = [bad, GOOD]
    connection, slept = server.connect()
    with pytest.raises(AnswerLostError) as caught:
        ask(connection, repeatable=False)
    assert (caught.value.reason, caught.value.may_go_on) == (reason, may_go_on)
    assert (len(server.headers), slept) == (1, [])


def test_it_gives_up_in_the_end(server: Server) -> None:
    server.answers = [told(500, "the database is gone")]
    connection, slept = server.connect()
    with pytest.raises(RunnerUnavailableError, match="the database is gone"):
        ask(connection)
    assert slept == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(("after", "pause"), [("7", 7.0), ("0", 0.5), ("86400", 60.0), ("x", 0.5)])
def test_too_many_requests_wait_as_long_as_the_server_wants(
    server: Server, after: str, pause: float
) -> None:
    server.answers = [told(429, Retry_After=after), GOOD]
    connection, slept = server.connect()
    # also what may not be repeated: it was not done
    assert ask(connection, repeatable=False)["run_id"] == "r"
    assert slept == [pause]


def test_a_refused_token_is_asked_for_again_once(server: Server) -> None:
    tokens = iter(["old", "new", "newest"])
    server.answers = [told(401), GOOD, told(401), told(401)]
    connection, _ = server.connect(kfp_token=lambda: next(tokens))
    ask(connection)
    assert [h["authorization"] for h in server.headers] == ["Bearer old", "Bearer new"]
    with pytest.raises(ConfigurationError, match="get a new one"):
        ask(connection)
    assert len(server.headers) == 4


def test_a_function_that_gives_tokens_is_asked_no_more_often_than_needed(server: Server) -> None:
    asked: list[int] = []
    connection, _ = server.connect(kfp_token=lambda: asked.append(1) or SECRET)
    for _ in range(3):
        ask(connection)
    assert len(asked) == 1


def test_the_token_file_is_read_for_each_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    connection, _ = server.connect()
    for token in ("one\n", "two"):
        file.write_text(token, encoding="utf-8")
        ask(connection)
    assert [h["authorization"] for h in server.headers] == ["Bearer one", "Bearer two"]
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"token file .*token .*can't be read"):
        ask(connection)


def test_cookies_are_sent(server: Server) -> None:
    connection, _ = server.connect(kfp_cookies="authservice_session=abc")
    ask(connection)
    assert server.headers[0]["Cookie"] == "authservice_session=abc"
    assert "authorization" not in {name.lower() for name in server.headers[0]}


def test_secrets_are_shown_nowhere(server: Server) -> None:
    server.answers = [told(401, f"Bearer {SECRET} and c=hidden aren't known")]
    config = Config(None, None, kfp_host=server.url, kfp_token=SECRET, kfp_cookies="c=hidden")
    settings = KfpSettings.of(config)
    connection, _ = connected(settings)
    with pytest.raises(ConfigurationError, match=r"Bearer \*\*\* and \*\*\*") as caught:
        ask(connection)
    for shown in (str(caught.value), repr(config), repr(settings), repr(connection)):
        assert SECRET not in shown
        assert "hidden" not in shown


def test_nobody_there() -> None:
    with serving() as gone:
        pass
    connection, slept = gone.connect()
    with pytest.raises(RunnerUnavailableError, match="Connection refused") as caught:
        ask(connection, repeatable=False)
    assert not isinstance(caught.value, AnswerLostError)
    assert gone.url in str(caught.value)
    assert len(slept) == 4


def test_a_host_without_address() -> None:
    connection, _ = connected(KfpSettings(host="http://no-such-host.invalid:8888", ui="/"))
    with pytest.raises(RunnerUnavailableError, match=r"no-such-host\.invalid.*name can't be resol"):
        ask(connection)


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_server_that_never_answers(repeatable: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        slept: list[float] = []
        connection = KfpConnection(
            KfpSettings(host=url, ui=url), sleep=slept.append, timeouts=(5.0, 0.05)
        )
        with pytest.raises(AnswerLostError, match="answer didn't come in time"):
            ask(connection, repeatable)
    assert len(slept) == (4 if repeatable else 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(file), "-out", str(file.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    return file.with_suffix(".crt")


@pytest.fixture
def secure(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".pem"))
    with serving(context) as made:
        yield made


def test_a_certificate_of_an_unknown_authority(secure: Server) -> None:
    connection, slept = secure.connect()
    with pytest.raises(ConfigurationError, match=r"isn't trusted.*verify failed") as caught:
        ask(connection)
    assert caught.value.reason == "TlsFailed"
    assert "kfp_ca_cert" in str(caught.value)
    assert slept == []


@pytest.mark.parametrize("how", ["authority", "unchecked"])
def test_a_certificate_of_ones_own(secure: Server, certificate: Path, how: str) -> None:
    given: dict[str, Any] = {"kfp_ca_cert": certificate}
    connection, _ = secure.connect(**(given if how == "authority" else {"kfp_verify_tls": False}))
    assert ask(connection)["run_id"] == "r"


def test_lists_are_read_page_by_page(server: Server) -> None:
    server.answers = [
        (200, {}, '{"runs": [{"run_id": "a"}], "next_page_token": "n"}'),
        (200, {}, '{"runs": [{"run_id": "b"}]}'),
        (200, {}, "{}"),
    ]
    connection, _ = server.connect()
    method: Callable[..., Any] = connection.runs.run_service_list_runs
    assert [run["run_id"] for run in connection.pages("list", method, "runs")] == ["a", "b"]
    assert list(connection.pages("list", method, "runs")) == []


def test_namespaces_are_for_servers_with_many_users(server: Server, tmp_path: Path) -> None:
    server.answers = [(200, {}, "{}")]
    assert server.connect(namespace="me")[0].namespace is None
    server.answers = [(200, {}, '{"multi_user": true}')]
    assert server.connect(namespace="me")[0].namespace == "me"
    nobody = KfpSettings(host=server.url, ui=server.url)
    with pytest.raises(ConfigurationError, match="has many users"):
        _ = connected(nobody)[0].namespace
