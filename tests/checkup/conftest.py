"""A Kubeflow in which everything is well, made of real servers; to be broken part by part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaptain_kfp.checkup.base import Check
from kaptain_kfp.checkup.cluster import KATIB_LABEL
from kaptain_kfp.checkup.doctor import checks
from kaptain_kfp.cluster.base import ResourceRef
from kaptain_kfp.cluster.kubernetes import KubernetesCluster
from kaptain_kfp.config import Config
from kaptain_kfp.manifests import rbac
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.testing.homes import end_home
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.kubernetes_api import (
    ADMINISTRATOR,
    KubernetesFace,
    Rule,
    User,
    serve_kubernetes,
)
from kaptain_kfp.testing.registry import RegistryServer, missing_programs, serve_registry
from kaptain_kfp.testing.s3 import S3Server, isolate_aws, serve_s3

from ..leaking import KFP_TOKEN, KUBERNETES_TOKEN, REGISTRY_PASSWORD

NAMESPACE = "team-a"
SECONDS = 60.0


@dataclass
class Kubeflow:
    """The servers, and how they are configured."""

    face: KubernetesFace
    kfp: KfpFace
    s3: S3Server
    registry: RegistryServer | None
    environment: pytest.MonkeyPatch
    home: Path

    def config(self) -> Config:
        """Returns a configuration with which all is well."""
        host = self.registry.host if self.registry else "registry.invalid"
        return Config(
            self.docker("team", REGISTRY_PASSWORD) if self.registry else None,
            self.s3.provider(),
            base_model_storage_uri="s3://models/base",
            target="kubeflow",
            kfp_host=self.kfp.url,
            kfp_token=KFP_TOKEN,
            namespace=NAMESPACE,
            component_image=f"{host}/kaptain-kfp:1" if self.registry else "docker.invalid/k:1",
            home=self.home,
        )

    def docker(self, user: str, password: str) -> DockerConfigurationProvider:
        """Returns credentials of the registry."""
        assert self.registry is not None
        entry = {"username": user, "password": password}
        return DockerConfigurationProvider(json.dumps({"auths": {self.registry.host: entry}}))

    def administrator(self) -> KubernetesCluster:
        """Returns the cluster as somebody sees it who may do everything."""
        return KubernetesCluster(NAMESPACE, kubeconfig=self.face.kubeconfig_of("root"))

    def grant(self, rules: list[Rule]) -> None:
        """Gives the notebook exactly these rights."""
        self.face.access.grant(KUBERNETES_TOKEN, User("notebook", rules))


def rules_of(role: dict[str, object] | rbac.Party) -> list[Rule]:
    """Returns what a Role, or the one of a party, allows."""
    manifest = rbac.role(role, NAMESPACE) if isinstance(role, str) else role
    rules: list[dict[str, list[str]]] = manifest["rules"]  # type: ignore[assignment]
    return [
        Rule(rule["verbs"], rule["apiGroups"], rule["resources"], (NAMESPACE,)) for rule in rules
    ]


SEE_NAMESPACES = Rule(("get",), ("",), ("namespaces",))


def all_rights() -> list[Rule]:
    return [*rules_of("steps"), *rules_of("notebook"), SEE_NAMESPACES]


@pytest.fixture(scope="module")
def kubeflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubeflow]:
    root = tmp_path_factory.mktemp("kubeflow")
    home, runs = root / "cluster", root / "runs"
    tokens = {KUBERNETES_TOKEN: User("notebook", all_rights()), "root": ADMINISTRATOR}
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        isolate_aws(environment)
        for name in ("KAPTAIN_TARGET", "KAPTAIN_COMPONENT_IMAGE", "KF_PIPELINES_ENDPOINT"):
            environment.delenv(name, raising=False)
        for place in (home, runs):
            stack.callback(end_home, place)
        face = stack.enter_context(
            serve_kubernetes(
                home, kubelet=False, operators=False, tokens=tokens, namespaces=[NAMESPACE]
            )
        )
        environment.setenv("KUBECONFIG", str(face.kubeconfig))
        registry = None
        if not missing_programs():
            users = {"team": REGISTRY_PASSWORD}
            registry = stack.enter_context(serve_registry(root / "images", htpasswd=users))
        made = Kubeflow(
            face,
            stack.enter_context(serve_kfp(runs, namespace=NAMESPACE, tokens={KFP_TOKEN: True})),
            stack.enter_context(serve_s3(root / "s3", "models")),
            registry,
            environment,
            root / "machine",
        )
        labels = {"metadata": {"labels": {KATIB_LABEL: "enabled"}}}
        made.administrator().patch(ResourceRef("v1", "Namespace", "", NAMESPACE), labels)
        yield made


@pytest.fixture
def look(kubeflow: Kubeflow) -> Callable[..., dict[str, Check]]:
    """Looks at everything; returns the checks by name."""

    def do(config: Config | None = None, seconds: float = SECONDS) -> dict[str, Check]:
        found = checks(config or kubeflow.config(), seconds)
        assert len({check.name for check in found}) == len(found)
        return {check.name: check for check in found}

    return do
