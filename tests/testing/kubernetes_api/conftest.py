"""The real client of a Kubernetes API, for one server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import urllib3
from kubernetes.client import ApiException

from kaptain_kfp.testing.kubernetes_api import KubernetesFace, serve_kubernetes

TIMEOUT = (5, 30)


class Client:
    """The APIs of the real client, with no retries of their own, for one face."""

    def __init__(self, face: KubernetesFace, token: str | None = None) -> None:
        configuration = kubernetes.client.Configuration()
        file = face.kubeconfig if token is None else face.kubeconfig_of(token)
        kubernetes.config.load_kube_config(str(file), client_configuration=configuration)
        configuration.retries = urllib3.Retry(0)
        self.api = kubernetes.client.ApiClient(configuration)
        self.core = kubernetes.client.CoreV1Api(self.api)
        self.batch = kubernetes.client.BatchV1Api(self.api)
        self.custom = kubernetes.client.CustomObjectsApi(self.api)
        self.definitions = kubernetes.client.ApiextensionsV1Api(self.api)
        self.rights = kubernetes.client.AuthorizationV1Api(self.api)

    def close(self) -> None:
        self.api.rest_client.pool_manager.clear()

    def config_map(self, name: str, **data: str) -> Any:
        body = {"metadata": {"name": name}, "data": data}
        return self.core.create_namespaced_config_map("default", body, _request_timeout=TIMEOUT)

    def job(self, name: str, script: str, **spec: Any) -> Any:
        container = {"name": "main", "image": "kaptain.local/host", "command": ["sh", "-c", script]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        body = {
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": template, **spec},
        }
        return self.batch.create_namespaced_job("default", body, _request_timeout=TIMEOUT)

    @staticmethod
    def refused(call: Callable[[], object]) -> tuple[int, str]:
        """Returns code and message of a refusal."""
        with pytest.raises(ApiException) as caught:
            call()
        body = caught.value.body
        assert isinstance(body, str)
        try:
            return caught.value.status, json.loads(body)["message"]
        except ValueError:
            return caught.value.status, body


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Makes clients: of a server, and a token if not the first one."""

    def make(face: KubernetesFace, token: str | None = None) -> Client:
        made.append(Client(face, token))
        return made[-1]

    made: list[Client] = []
    yield make
    for client in made:
        client.close()


@pytest.fixture
def face(kaptain_home: Path) -> Iterator[KubernetesFace]:
    """A server without machines."""
    with serve_kubernetes(kaptain_home, kubelet=False) as served:
        yield served


@pytest.fixture
def client(face: KubernetesFace, connect: Callable[..., Client]) -> Client:
    """A client of `face`."""
    return connect(face)


@pytest.fixture
def real(kaptain_home: Path) -> Iterator[KubernetesFace]:
    """A server whose pods run."""
    with serve_kubernetes(kaptain_home) as served:
        yield served
