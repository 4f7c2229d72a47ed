from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, serve_kubernetes

QUICK = Settings(connect=2, read=2, patience=3, longest_pause=0.2, outage=5, settling=1)


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


Answerer = Callable[[BaseHTTPRequestHandler, Seen], None]


@dataclass
class ScriptedServer:
    """An HTTP server whose answers are functions: one after the other, the last one for ever."""

    url: str
    answers: list[Answerer]
    seen: list[Seen] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        seen = Seen(handler.command, handler.path, dict(handler.headers), body)
        with self.lock:
            self.seen.append(seen)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer(handler, seen)


def answering(status: int, body: Any, **headers: str) -> Answerer:
    """Returns what answers with JSON, or with plain text."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts servers that answer as they are told; with `context` over TLS."""
    running: list[tuple[ThreadingHTTPServer, ScriptedServer, threading.Thread]] = []

    def start(*answers: Answerer, context: ssl.SSLContext | None = None) -> ScriptedServer:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def serve(self) -> None:
                script.handle(self)

            do_GET = do_POST = do_PATCH = do_DELETE = serve

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None:
                pass  # clients leave in the midst of it

        server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        script = ScriptedServer(f"{scheme}://127.0.0.1:{server.server_port}", list(answers))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        running.append((server, script, thread))
        return script

    yield start
    for server, script, thread in running:
        script.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Callable[..., Path]:
    """Writes kubeconfig files."""

    def write(server: str, name: str = "kubeconfig", **more: Any) -> Path:
        path = tmp_path / name
        context = {"cluster": "c", "user": "u", **more.pop("context", {})}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, **more.pop("cluster", {})}}],
            "users": [{"name": "u", "user": more.pop("user", {})}],
            "contexts": [{"name": "dev", "context": context}, *more.pop("contexts", ())],
            "current-context": "dev",
            **more,
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    return write


@pytest.fixture
def connect(kubeconfig: Callable[..., Path]) -> Callable[..., KubernetesCluster]:
    """Makes clusters of scripted servers."""

    def make(server: ScriptedServer | str, settings: Settings = QUICK) -> KubernetesCluster:
        url = server if isinstance(server, str) else server.url
        return KubernetesCluster(kubeconfig=kubeconfig(url), settings=settings)

    return make


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KubernetesFace]:
    """An API server with a kubelet."""
    with serve_kubernetes(kaptain_home) as served:
        yield served


@pytest.fixture
def still_face(kaptain_home: Path) -> Iterator[KubernetesFace]:
    """An API server in whose cluster nothing happens by itself."""
    with serve_kubernetes(kaptain_home, kubelet=False, operators=False) as served:
        yield served


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    """Makes manifests of Jobs that run a shell script."""

    def make(script: str = "true", name: str = "j", model: str = "dev/m", **spec: Any) -> Any:
        container = {
            "name": "main",
            "image": "kaptain.local/host",
            "command": ["sh", "-c", script],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "namespace": "default",
                "labels": labels_for(model),
                "annotations": {ANNOTATION_MODEL_ID: model},
            },
            "spec": {
                "backoffLimit": 0,
                "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
                **spec,
            },
        }

    return make


@dataclass(frozen=True)
class Authority:
    """A certificate for 127.0.0.1 that vouches for itself."""

    path: Path
    context: ssl.SSLContext


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    pytest.importorskip("cryptography", reason="TLS is not tested: no `cryptography` here")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "ca.crt"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = tmp_path / "server.key"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return Authority(path, context)
