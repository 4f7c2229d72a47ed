from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.manifests.names import ANNOTATION_MODEL_ID, labels_for
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, serve_kubernetes
from kaptain_kfp.testing.scripted import ScriptedServer, serve_script


@pytest.fixture
def quick() -> Settings:
    """Short times, so that tests needn't wait."""
    return Settings(connect=2, read=2, patience=3, longest_pause=0.2, outage=5, settling=1)


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts servers that answer as they are told, see `serve_script`."""
    with ExitStack() as stack:
        yield lambda *answers, **more: stack.enter_context(serve_script(*answers, **more))


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
def connect(kubeconfig: Callable[..., Path], quick: Settings) -> Callable[..., KubernetesCluster]:
    """Makes clusters of scripted servers."""

    def make(server: ScriptedServer | str, settings: Settings = quick) -> KubernetesCluster:
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
    """An API server in whose cluster only the controller of Jobs is at work."""
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
