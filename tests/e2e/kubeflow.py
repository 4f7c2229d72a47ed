"""A whole Kubeflow on this machine: its two APIs, an S3 server, a registry; and a way to it."""

from __future__ import annotations

import json
import platform
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kfp

from kaptain_kfp import Config, Model
from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.credentials import Credentials as Logins
from kaptain_kfp.local.client import ensure_supervisor
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.supervisor import KUBELET_VARIABLE
from kaptain_kfp.model.credentials import Credentials
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.homes import end_home
from kaptain_kfp.testing.kfp_api import KfpFace, serve_kfp
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, Rule, User, serve_kubernetes
from kaptain_kfp.testing.registry import RegistryServer, serve_registry
from kaptain_kfp.testing.s3 import S3Server, serve_s3
from kaptain_kfp.testing.scripted_kubelet import ScriptedKubelet

from ..needs import shared_if_there

NAMESPACE = "team-a"
BASE = "s3://models/prod"
MODEL_ID = "dev/digits"
TRAINING_SECONDS = 150.0

UPLOADING = """
import json, os, pathlib, sys
from kaptain.platform.metadata_util import MetadataUtil
from kaptain.platform.model_export_util import ModelExportUtil

pathlib.Path("model.json").write_text(json.dumps(sys.argv[1:]))
MetadataUtil.record_metrics({"accuracy": 0.5})
MetadataUtil.record_metrics({"accuracy": 0.75})
ModelExportUtil().upload_model("model.json")
print("rank", os.environ.get("RANK"), "of", os.environ.get("WORLD_SIZE"))
"""


@dataclass(frozen=True)
class Login:
    """What opens a part of Kubeflow to nobody else.

    Attributes:
        user: Of the registry.
        password: Of the registry.
        kfp: The token of Kubeflow Pipelines.
        kubernetes: The token of the API server.
    """

    user: str
    password: str
    kfp: str
    kubernetes: str

    def docker_config(self, host: str) -> str:
        """Returns the registry's part as ``docker login`` writes it."""
        return json.dumps({"auths": {host: {"username": self.user, "password": self.password}}})


@dataclass(frozen=True)
class Kubeflow:
    """A Kubeflow that runs, and a notebook's way to it.

    Attributes:
        home: The world behind the API server: what trains runs here.
        steps: The world that the steps of pipelines run in; the same one, but for `scripted`.
        project: Where training code lies.
        kubelet: What plays the pods of the training, where no process of this machine does.
        kfp_tokens: What opens Kubeflow Pipelines; may be changed while it runs.
        settings: For every configuration.
    """

    home: Path
    steps: Path
    project: Path
    kubernetes: KubernetesFace
    pipelines: KfpFace
    s3: S3Server
    registry: RegistryServer
    login: Login | None = None
    kubelet: ScriptedKubelet | None = None
    kfp_tokens: dict[str, bool] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def config(self, **settings: Any) -> Config:
        """Returns the configuration of a notebook; arguments are those of `Config`."""
        login = self.login
        docker = login.docker_config(self.registry.host) if login else '{"auths": {}}'
        return Config(
            **{
                "docker_config_provider": DockerConfigurationProvider(docker),
                "storage_config_provider": self.s3.provider(),
                "base_dir": str(self.project),
                "base_model_storage_uri": BASE,
                "target": "kubeflow",
                "kfp_host": self.pipelines.url,
                "kfp_token": login.kfp if login else None,
                "namespace": NAMESPACE,
                "component_image": f"{self.registry.host}/kaptain/steps:1",
                **self.settings,
                **settings,
            }
        )

    def model(self, script: str, **properties: Any) -> Model:
        """Writes a script, and returns the model that it trains."""
        (self.project / "trainer.py").write_text(script, encoding="utf-8")
        return Model(
            **{
                "id": MODEL_ID,
                "name": "Digits",
                "description": "What the test trains",
                "version": "1.0",
                "framework": "sklearn",
                "framework_version": "1.5",
                "main_file": "trainer.py",
                "image_name": f"{self.registry.host}/team/digits",
                "base_image": self.base_image,
                "config": self.config(),
                **properties,
            }
        )

    @property
    def base_image(self) -> str:
        """An image that others can be built on."""
        return f"{self.registry.host}/base:1"

    def client(self) -> kfp.Client:
        """Returns the client that everybody uses, as the user interface would do."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that it knows no older servers
            token = self.login.kfp if self.login else None
            return kfp.Client(host=self.pipelines.url, existing_token=token)

    def bucket(self) -> list[str]:
        """Returns the keys of all objects in the store."""
        place = self.s3.folder / "models"
        return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file())

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Returns the objects that the API server has of a kind."""
        return Objects(self.home).list(kind, NAMESPACE).items

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Does what the administrator of the cluster does."""
        metadata = {"namespace": NAMESPACE, **manifest["metadata"]}
        Objects(self.home).create({**manifest, "metadata": metadata})


@contextmanager
def serve_kubeflow(
    home: Path,
    project: Path,
    place: Path,
    *,
    login: Login | None = None,
    scripted: bool = False,
    operators: bool = True,
    without: tuple[str, ...] = (),
    artifact_api: bool = False,
    crds: Path | None = None,
    s3_certificate: tuple[Path, Path] | None = None,
    **settings: Any,
) -> Iterator[Kubeflow]:
    """Runs a Kubeflow as long as the context lasts.

    Args:
        home: The folder of its world.
        project: Where training code lies.
        place: Where its servers keep their files.
        login: What opens it; by default everything is open, but for the store.
        scripted: The training's pods are played by scripts. Then the steps have a world of their
            own, where processes run; it is given the Secrets of the model beforehand.
        operators: False: nobody looks after custom objects.
        without: Kinds that aren't installed.
        artifact_api: Kubeflow Pipelines has artifacts of its own, and no ML Metadata any more.
        crds: The schemas of its custom kinds; by default those that we have.
        s3_certificate: Of the store, and its key, to speak TLS with.
        **settings: For every `Config`.
    """
    steps = place / "steps" if scripted else home
    with ExitStack() as stack:
        users = {login.user: login.password} if login else None
        registry = stack.enter_context(serve_registry(place / "registry", htpasswd=users))
        s3 = stack.enter_context(serve_s3(place / "s3", "models", certificate=s3_certificate))
        kubernetes = stack.enter_context(
            serve_kubernetes(
                home,
                kubelet=not scripted,
                pull=not scripted,
                operators=operators,
                crds=crds or shared_if_there("crds"),
                tokens=_tokens(login),
                without=without,
                namespaces=("default", NAMESPACE),
            )
        )
        if scripted:
            stack.callback(end_home, steps)
            docker = DockerConfigurationProvider('{"auths": {}}')
            secrets = Credentials(s3.provider(), (docker,))
            secrets.share(MODEL_ID, LocalCluster(steps, NAMESPACE))
            ensure_supervisor(Home(steps), {KUBELET_VARIABLE: "on"})
        token = login.kubernetes if login else None
        kfp_tokens = {login.kfp: True} if login else {}
        pipelines = stack.enter_context(
            serve_kfp(
                steps,
                kubernetes=kubernetes.kubeconfig_of(token, NAMESPACE),
                namespace=NAMESPACE,
                tokens=kfp_tokens,
                artifact_api=artifact_api,
            )
        )
        kubelet = stack.enter_context(ScriptedKubelet(Home(home))) if scripted else None
        servers = (kubernetes, pipelines, s3, registry)
        made = Kubeflow(home, steps, project, *servers, login, kubelet, kfp_tokens, settings)
        logins = Logins.of_docker_config(login.docker_config(registry.host)) if login else None
        with RegistryClient(logins) as client:
            version = platform.python_version()
            push_base_image(client, made.base_image, {"PYTHON_VERSION": version})
            # where it is run, this machine's interpreter stands for it, which has the package
            push_base_image(client, f"{registry.host}/kaptain/steps:1")
        yield made


def _tokens(login: Login | None) -> dict[str, User] | None:
    return {login.kubernetes: User("notebook", (Rule(),))} if login else None


class Training:
    """Somebody in a notebook who trains a model, and waits."""

    def __init__(self, model: Model, **arguments: Any) -> None:
        self._ended: list[bool | BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(model, arguments), daemon=True)
        self._thread.start()

    def _run(self, model: Model, arguments: Mapping[str, Any]) -> None:
        try:
            self._ended.append(model.train({"--C": 1}, **arguments))
        except BaseException as error:
            self._ended.append(error)

    @property
    def over(self) -> bool:
        """Whether it came to an end."""
        return bool(self._ended)

    def end(self) -> bool:
        """Waits, and returns what `Model.train` does, or raises what it raises."""
        self._thread.join(TRAINING_SECONDS)
        (end,) = self._ended
        if isinstance(end, BaseException):
            raise end
        return end
