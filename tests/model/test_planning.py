"""Plans of actions on Kubernetes: what its API server says to them, and what they never say."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from kaptain_kfp.cluster.adoption import stamped
from kaptain_kfp.cluster.kubernetes import KubernetesCluster, Settings
from kaptain_kfp.components import train as component
from kaptain_kfp.config import Config, Target, TrainingApi
from kaptain_kfp.exceptions import (
    AccessDeniedError,
    AdmissionDeniedError,
    ClusterUnavailableError,
    ConfigurationError,
    ForeignObjectError,
    ImageBuildException,
    OperatorMissingError,
    QuotaExceededError,
)
from kaptain_kfp.image.cluster_install import InstallRequest
from kaptain_kfp.image.installation import Installation, StepImage
from kaptain_kfp.image.local import LocalImages
from kaptain_kfp.image.publisher import Publication
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.manifests.names import ANNOTATION_SPEC_HASH, LABEL_REVISION, LABEL_RUN
from kaptain_kfp.manifests.secret import storage_secret
from kaptain_kfp.model.actionplan import ActionPlan
from kaptain_kfp.model.actions import run_request, send
from kaptain_kfp.model.content import Content
from kaptain_kfp.model.credentials import Credentials
from kaptain_kfp.model.differences import differences
from kaptain_kfp.model.planning import plan_action
from kaptain_kfp.model.requests import ActionRequest, request_build, request_train
from kaptain_kfp.model.world import World
from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider
from kaptain_kfp.runs.kfp import KfpRunner
from kaptain_kfp.runs.kfp_connection import KfpConnection
from kaptain_kfp.runs.kfp_settings import KfpSettings
from kaptain_kfp.specs import BuiltImage, Definition, ModelIdentity
from kaptain_kfp.store.base import Store
from kaptain_kfp.store.folder import FolderStore
from kaptain_kfp.testing.kubernetes_api import KubernetesFace, Rule, User, serve_kubernetes

from ..needs import need_shared

KEY, SECRET = "AKIAKAPTAINTESTKEY12", "very/secret+access/key/0123456789"
COMPONENT_IMAGE = "registry.example/kaptain-kfp-python:1"

Serve = Callable[..., AbstractContextManager[KubernetesFace]]


@pytest.fixture
def serve(kaptain_home: Path) -> Serve:
    """Serves a cluster in which nothing happens by itself."""
    return partial(serve_kubernetes, kaptain_home, kubelet=False, operators=False)


@pytest.fixture
def face(serve: Serve) -> Iterator[KubernetesFace]:
    with serve() as served:
        yield served


class Here:
    """A model of this test, and worlds that it may be in."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.store = FolderStore(folder / "models")
        self.images = LocalImages(home)
        self.config = Config.local(base_dir=str(folder), home=home)
        (folder / "trainer.py").write_text("print('accuracy=0.5')\n", encoding="utf-8")

    def content(self, framework: str = "sklearn") -> Content:
        identity = ModelIdentity(
            id="dev/m",
            name="m",
            description="",
            version="1",
            framework=framework,
            framework_version="2",
        )
        definition = Definition(
            identity=identity,
            main_file="trainer.py",
            image_name="registry.example/m",
            base_image="python:3.11",
        )
        return Content.of(definition, self.config)

    def world(
        self,
        face: KubernetesFace,
        *,
        token: str | None = None,
        api: TrainingApi = "auto",
        secrets: bool = False,
        component_image: str | None = COMPONENT_IMAGE,
        images: Any = None,
    ) -> World:
        kubeconfig = face.kubeconfig if token is None else face.kubeconfig_of(token)
        quick = Settings(connect=2, read=2, patience=0.2, longest_pause=0.1)
        cluster = KubernetesCluster(kubeconfig=kubeconfig, settings=quick)
        # no server: a plan asks none
        settings = KfpSettings(
            host="http://127.0.0.1:9", ui="http://127.0.0.1:9", component_image=component_image
        )
        return World(
            target=Target("kubeflow", "the test"),
            cluster=cluster,
            runner=KfpRunner(KfpConnection(settings), cluster, self.store),
            store=self.store,
            images=images or self.images,
            training_api=api,
            credentials=Credentials(S3ConfigurationProvider(KEY, SECRET) if secrets else None),
        )

    def plan(
        self,
        face: KubernetesFace,
        asked: ActionRequest | None = None,
        framework: str = "sklearn",
        **more: Any,
    ) -> ActionPlan:
        """Returns the plan of a training, by default of one with two workers."""
        asked = asked or request_train({"--lr": 0.1}, cpu="2", memory="1G")
        return plan_action(self.world(face, **more), asked, self.content(framework))


@pytest.fixture
def here(kaptain_home: Path, tmp_path: Path) -> Here:
    return Here(tmp_path, kaptain_home)


def verdicts(plan: ActionPlan) -> dict[str, str]:
    return {check.resource: check.verdict for check in plan.checks}


def kinds_of(plan: ActionPlan) -> list[str]:
    return [type(problem).__name__ for problem in plan.problems]


def everything(plan: ActionPlan) -> str:
    """Returns all that a plan ever shows."""
    shown = [str(plan), plan._repr_html_(), json.dumps(plan.to_dict()), repr(plan)]
    return "\n".join([*shown, *map(repr, plan.problems)])


@pytest.mark.parametrize("framework", ["sklearn", "pytorch"])
def test_the_step_makes_what_was_planned(
    kaptain_home: Path,
    here: Here,
    framework: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve_kubernetes(kaptain_home) as face:
        world, content = here.world(face), here.content(framework)
        asked = request_train({"--lr": 0.1}, workers=2, memory="1G")
        model = send(world, content)
        built = world.images.build(model, world.store, print)
        plan = plan_action(world, asked, content)
        assert (plan.problems, plan.image.skipped) == ((), True)
        monkeypatch.setenv("KAPTAIN_TARGET", "kubeflow")
        monkeypatch.setenv("KUBECONFIG", str(face.kubeconfig))
        parameters = run_request(world, asked, model, "r").parameters
        given = {**parameters, "image": built.dump(), "run_id": "r", "dag_id": "7"}
        names = component.Request._fields
        request = component.Request(**{name: given.get(name, "train") for name in names})
        card = SimpleNamespace(metadata={}, path=str(tmp_path / "card"))
        component.run(request, card, SimpleNamespace(metadata={}))  # type: ignore[arg-type]
        (made,) = Objects(kaptain_home).list(plan.manifests[0]["kind"], "default").items
    labels = made["metadata"]["labels"]
    text = json.dumps(plan.manifests[0])
    text = text.replace("<run>", labels[LABEL_RUN]).replace("<revision>", labels[LABEL_REVISION])
    wanted = json.loads(text.replace("<suffix>", made["metadata"]["name"].rpartition("-")[2]))
    assert differences(made, {k: v for k, v in wanted.items() if k == "spec"}) == ()
    del wanted["metadata"]["annotations"][ANNOTATION_SPEC_HASH]
    assert differences(made, stamped(wanted)) == (), "the hash of the spec, too"
    assert plan.pipeline.parameters == parameters


@pytest.mark.parametrize(
    ("framework", "api", "kind", "pods"),
    [
        ("sklearn", "auto", "Job", True),
        ("tensorflow", "auto", "TFJob", True),
        ("pytorch", "auto", "PyTorchJob", True),
        ("pytorch", "trainer", "TrainJob", False),
    ],
)
def test_the_server_takes_every_kind(
    serve: Serve, here: Here, framework: str, api: TrainingApi, kind: str, pods: bool
) -> None:
    with serve(crds=need_shared("crds")) as face:
        plan = here.plan(face, framework=framework, api=api)
    name = f"{kind}/m-{kind.lower()}-<suffix>"
    assert verdicts(plan) == {
        name: "accepted",
        **({f"pods of {name}": "accepted"} if pods else {}),
    }
    assert plan.problems == ()
    assert plan.image.skipped is False
    assert "registry.example/m@sha256:<digest>" in str(plan)


def test_nothing_is_sent(face: KubernetesFace, here: Here) -> None:
    objects = Objects(face.home)
    before = objects.revision()
    face.requests.reset()
    plan = here.plan(face, framework="pytorch", secrets=True)
    assert here.plan(face, request_build()).objects == ()
    assert objects.revision() == before
    asked = face.requests.by_kind()
    assert {request.method for request in asked} == {"GET", "POST"}
    assert face.requests.count(method="POST") == len(plan.checks), "dry runs only"
    assert list(here.store.list()) == []


def test_the_pipeline_that_would_be_run(face: KubernetesFace, here: Here) -> None:
    plan = here.plan(face)
    assert plan.pipeline.name == "kaptain-train"
    other = here.plan(face, component_image="registry.example/kaptain-kfp-python:2")
    assert plan.pipeline.version != other.pipeline.version
    unknown = here.plan(face, component_image=None)
    assert unknown.pipeline.version is None
    (problem,) = unknown.problems
    assert isinstance(problem, ConfigurationError)
    assert problem.reason == "NoComponentImage"


@pytest.mark.parametrize(
    ("framework", "without"), [("pytorch", ["PyTorchJob", "TrainJob"]), ("tensorflow", ["TFJob"])]
)
def test_an_operator_that_is_not_installed(
    serve: Serve, here: Here, framework: str, without: list[str]
) -> None:
    with serve(without=without) as face:
        plan = here.plan(face, framework=framework)
    (problem,) = plan.problems
    assert isinstance(problem, OperatorMissingError)
    assert plan.objects == ()
    assert "OperatorMissingError" in str(plan)


@pytest.mark.parametrize(
    ("hard", "refused", "words"),
    [
        ({"requests.cpu": "1"}, "pods of Job/m-job-<suffix>", "exceeded quota: q"),
        ({"limits.nvidia.com/gpu": "0", "pods": "0"}, "pods of Job/m-job-<suffix>", "pods=0"),
        ({"count/jobs.batch": "0"}, "Job/m-job-<suffix>", "exceeded quota: q"),
    ],
)
def test_a_quota(
    face: KubernetesFace, here: Here, hard: dict[str, str], refused: str, words: str
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": hard},
    }
    Objects(face.home).create(quota)
    plan = here.plan(face)
    assert [name for name, verdict in verdicts(plan).items() if verdict == "refused"] == [refused]
    (problem,) = plan.problems
    assert isinstance(problem, AdmissionDeniedError)
    assert words in problem.message
    assert "<suffix>" in problem.message, "no made-up name is told"


def test_a_quota_that_wants_all_amounts_said(face: KubernetesFace, here: Here) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": {"limits.cpu": "8", "limits.memory": "8G"}},
    }
    Objects(face.home).create(quota)
    assert here.plan(face).problems == ()
    (problem,) = here.plan(face, request_train({})).problems
    assert "must specify" in problem.message


def test_a_quota_with_room_for_one_pod_only(face: KubernetesFace, here: Here) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": {"requests.cpu": "3", "limits.memory": "8G"}},
    }
    Objects(face.home).create(quota)
    assert here.plan(face).problems == (), "one pod, whatever workers says"
    plan = here.plan(face, framework="pytorch")
    (problem,) = plan.problems
    assert isinstance(problem, QuotaExceededError)
    assert problem.message == (
        "The quota q has no room for 2 such pods at once: requests.cpu (0 of 3 are used)."
    )
    assert plan.checks[1].verdict == "refused"


def test_a_restricted_namespace_takes_it(face: KubernetesFace, here: Here) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    Objects(face.home).patch("Namespace", "default", "", {"metadata": {"labels": labels}})
    assert set(verdicts(here.plan(face)).values()) == {"accepted"}


READER = Rule(verbs=("get", "list"))
JOBS = Rule(verbs=("create",), groups=("batch",), resources=("jobs",))


def test_a_right_that_is_missing(serve: Serve, here: Here) -> None:
    with serve(tokens={"reader": User("reader", (READER,))}) as face:
        plan = here.plan(face)
    assert verdicts(plan) == {
        "Job/m-job-<suffix>": "refused",
        "pods of Job/m-job-<suffix>": "not asked",
    }
    (problem,) = plan.problems
    assert isinstance(problem, AccessDeniedError)
    assert 'verbs: ["create"]' in str(problem)


def test_pods_need_not_be_ours_to_make(serve: Serve, here: Here) -> None:
    with serve(tokens={"maker": User("maker", (READER, JOBS))}) as face:
        plan = here.plan(face)
    assert list(verdicts(plan).values()) == ["accepted", "not asked"]
    assert plan.problems == ()


def test_what_may_not_be_looked_at(serve: Serve, here: Here) -> None:
    with serve(tokens={"blind": User("blind", (JOBS,))}) as face:
        plan = here.plan(face)
    (planned,) = plan.objects
    assert planned.effect == "unknown"
    assert list(verdicts(plan).values()) == ["accepted", "not asked"]
    assert kinds_of(plan) == ["AccessDeniedError"]


def test_a_secret_is_never_told(face: KubernetesFace, here: Here) -> None:
    fresh = here.plan(face, secrets=True)
    secret, job = fresh.objects
    assert (secret.resource, secret.effect) == ("Secret/dev-m-secret", "create")
    assert job.effect == "create"
    assert set(secret.manifest["data"].values()) == {"<hidden>"}
    body = S3ConfigurationProvider("AKIAOLDKEY", "the/old/secret").get_secret_body()
    old = storage_secret("dev/m", "default", {**body, "EXTRA": "some-old-value"})
    here.world(face).cluster.apply(old)
    changed = here.plan(face, secrets=True)
    assert changed.objects[0].effect == "update"
    assert [str(change) for change in changed.diff["Secret/dev-m-secret"]] == [
        "~ data.AWS_ACCESS_KEY_ID: <hidden> -> <hidden>",
        "~ data.AWS_SECRET_ACCESS_KEY: <hidden> -> <hidden>",
        "- data.EXTRA: <hidden>",
    ]
    told = everything(fresh) + everything(changed)
    for value in (KEY, SECRET, "AKIAOLDKEY", "the/old/secret", "some-old-value"):
        assert value not in told
        assert base64.b64encode(value.encode()).decode() not in told


def test_a_secret_that_stays_as_it_is(face: KubernetesFace, here: Here) -> None:
    world = here.world(face, secrets=True)
    world.credentials.share("dev/m", world.cluster)
    plan = here.plan(face, secrets=True)
    assert (plan.objects[0].effect, plan.objects[0].diff) == ("keep", ())
    assert "Secret/dev-m-secret" not in verdicts(plan)
    assert "= Secret/dev-m-secret is there, and stays as it is" in str(plan)


def test_a_secret_of_somebody_else(face: KubernetesFace, here: Here) -> None:
    theirs = storage_secret("dev-m", "default", {"password": "theirs-and-secret"})
    here.world(face).cluster.apply(theirs)
    plan = here.plan(face, secrets=True)
    assert plan.objects[0].effect == "refuse"
    (problem,) = plan.problems
    assert isinstance(problem, ForeignObjectError)
    assert "theirs-and-secret" not in everything(plan)
    assert base64.b64encode(b"theirs-and-secret").decode() not in everything(plan)


@pytest.mark.parametrize("framework", ["sklearn", "pytorch"])
def test_a_cluster_that_is_away(face: KubernetesFace, here: Here, framework: str) -> None:
    world = here.world(face, secrets=True)
    face.stop()
    plan = plan_action(world, request_train({}), here.content(framework))
    face.start()
    assert [planned.effect for planned in plan.objects] == ["unknown", "unknown"]
    assert set(verdicts(plan).values()) == {"not asked"}
    assert {type(problem) for problem in plan.problems} == {ClusterUnavailableError}


class Registry(LocalImages):
    """One that doesn't answer."""

    def find(
        self, name: str, checksum: str, identity: ModelIdentity | None = None
    ) -> BuiltImage | None:
        raise ImageBuildException(f"The registry of {name} doesn't answer.")


def test_an_image_of_which_nothing_is_known(face: KubernetesFace, here: Here) -> None:
    plan = here.plan(face, images=Registry(face.home))
    assert plan.image.skipped is None
    assert kinds_of(plan) == ["ImageBuildException"]
    assert "couldn't be found out" in str(plan)


def test_a_store_of_which_nothing_is_known(face: KubernetesFace, here: Here) -> None:
    place = Path(here.store.uri.removeprefix("file://"))
    place.symlink_to(place)
    plan = here.plan(face)
    assert kinds_of(plan) == ["StoreError"]
    assert [source.sent for source in plan.sources] == [None]
    assert "trainer.py: the store doesn't say" in str(plan)


class Labelled(LocalImages):
    """Those of an image that was built for another model, or for none."""

    def find(
        self, name: str, checksum: str, identity: ModelIdentity | None = None
    ) -> BuiltImage | None:
        reference = f"{name}@sha256:{'0' * 64}"
        there = BuiltImage(name=name, reference=reference, checksum=checksum, built=False)
        return there if identity is None else None

    def installation(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("nothing is installed")


def test_an_image_that_only_gets_other_labels(face: KubernetesFace, here: Here) -> None:
    plan = here.plan(face, images=Labelled(face.home))
    assert plan.image.skipped is False and plan.builder is None and plan.problems == ()
    assert "Only its labels change" in str(plan)


class Installing(LocalImages):
    """Images whose requirements a Job installs."""

    def installation(
        self, what: Publication, store: Store, *, refresh_base: bool = False
    ) -> Installation:
        request = InstallRequest(
            base=f"python@sha256:{'0' * 64}",
            target=what.image.name,
            key="k",
            requirements="requirements.txt",
            family="OCI",
            platform="linux/amd64",
            index={},
        )
        return Installation(request, kept=False, step=StepImage(COMPONENT_IMAGE, known=False))


def test_what_the_builder_takes_is_told_apart(face: KubernetesFace, here: Here) -> None:
    plan = here.plan(face, images=Installing(face.home), framework="pytorch")
    builder, work = plan.manifests
    assert verdicts(plan) == {
        "Job/m-build-<suffix>": "accepted",
        "pods of Job/m-build-<suffix>": "accepted",
        "PyTorchJob/m-pytorchjob-<suffix>": "accepted",
        "pods of PyTorchJob/m-pytorchjob-<suffix>": "accepted",
    }
    fetch = builder["spec"]["template"]["spec"]["initContainers"][0]
    assert '"size":<size>' in fetch["command"][-1]
    assert fetch["image"] == COMPONENT_IMAGE
    first, then = (each["metadata"]["labels"][LABEL_REVISION] for each in (builder, work))
    assert first == then == "<revision>", "though they are two"
    assert plan.builder is not None and plan.resources is not None
    assert plan.builder.limits == {"cpu": "1", "memory": "1G"}
    assert plan.resources.limits == {"cpu": "4", "memory": "2G"}
    lines = str(plan).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("Builder"))
    assert [line[11:] for line in lines[start : start + 5]] == [
        *("1 pod", "requests cpu 500m, memory 500M", "limits cpu 1, memory 1G"),
        *("gone before anything else begins", "2 pods together"),
    ]
    assert f"What {COMPONENT_IMAGE} sets for pip couldn't be read from here." in str(plan)
    assert json.loads(json.dumps(plan.to_dict()))["builder"]["replicas"] == 1
    assert here.plan(face).builder is None


def test_a_quota_without_room_for_the_builder(
    face: KubernetesFace, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDER_MEM_LIMIT", "3G")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": {"limits.memory": "2G"}},
    }
    Objects(face.home).create(quota)
    plan = here.plan(face, images=Installing(face.home))
    refused = [name for name, verdict in verdicts(plan).items() if verdict == "refused"]
    assert refused == ["pods of Job/m-build-<suffix>"]
    assert kinds_of(plan) == ["AdmissionDeniedError"]
