"""Every manifest that we can make, against the schemas of the real operators."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ModelValidationException, ObjectInvalidError
from kaptain_kfp.local.kinds import lookup
from kaptain_kfp.manifests.forms import TrainingForm, training_form
from kaptain_kfp.manifests.names import identity
from kaptain_kfp.manifests.train import training_job
from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.specs import ModelIdentity, PodSpec, PolicySpec, ResourcesSpec, Toleration
from kaptain_kfp.testing.kubernetes_api.fields import shape
from kaptain_kfp.testing.schemas import Schemas

from ..needs import need_shared
from ..trainer import write_trainer_2_1

CRDS = need_shared("crds", of_module=True)
SCHEMAS = Schemas.load(CRDS)


def missing(sent: Any, stored: Any, path: str = "") -> list[str]:
    """Returns the paths of what was sent, and isn't stored as it was sent."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        there = [(f"{path}.{key}", value, stored.get(key)) for key, value in sent.items()]
    elif isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        pairs = zip(sent, stored, strict=True)
        there = [(f"{path}[{n}]", one, other) for n, (one, other) in enumerate(pairs)]
    else:
        return [] if sent == stored else [path]
    return [found for where, one, other in there for found in missing(one, other, where)]


def admitted(manifest: dict[str, Any], schemas: Schemas = SCHEMAS) -> dict[str, Any]:
    """Returns a manifest as a cluster stores it that doesn't take unknown fields."""
    kind = lookup(manifest["apiVersion"], manifest["kind"])
    if kind.custom:
        assert kind in schemas.kinds
        return schemas.admit(manifest, validation="Strict").object
    made = deepcopy(manifest)
    assert shape(kind, made) == []
    return made


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[TrainingForm, Schemas]:
    """Returns the schemas of the clusters that a form of training jobs is for."""
    before = write_trainer_2_1(CRDS, tmp_path_factory.mktemp("trainer") / "crds")
    return {
        "operator": SCHEMAS,
        "runtimePatches": SCHEMAS,
        "podTemplateOverrides": Schemas.load(before),
    }


AMOUNTS = st.none() | st.sampled_from(["1", "500m", "2Gi", "1.5", "100M", "0"])
DEVICES = st.none() | st.sampled_from(["0", "1", "4"])
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
RESOURCES = st.builds(
    ResourcesSpec,
    cpu_request=AMOUNTS,
    cpu_limit=AMOUNTS,
    memory_request=AMOUNTS,
    memory_limit=AMOUNTS,
    gpu_request=DEVICES,
    gpu_limit=DEVICES,
)
POLICIES = st.builds(
    PolicySpec,
    timeout_seconds=st.integers(1, 10**6),
    ttl_seconds_after_finished=st.none() | st.integers(0, 1000),
    force_cleanup=st.booleans(),
    pending_seconds=st.none() | st.integers(0, 1000),
)
PODS = st.builds(
    PodSpec,
    labels=st.dictionaries(NAMES, NAMES, max_size=3),
    annotations=st.dictionaries(NAMES, TEXT, max_size=3),
    node_selector=st.dictionaries(NAMES, NAMES, max_size=3),
    tolerations=st.lists(
        st.builds(
            Toleration,
            key=st.none() | NAMES,
            operator=st.sampled_from([None, "Exists", "Equal"]),
            value=st.none() | NAMES,
            effect=st.sampled_from([None, "NoSchedule", "PreferNoSchedule", "NoExecute"]),
        ),
        max_size=3,
    ).map(tuple),
    shm_size=AMOUNTS,
    service_account=st.none() | NAMES,
    image_pull_secrets=st.lists(NAMES | st.just("store"), max_size=3).map(tuple),
)
MANY = st.integers(120, 140).map(lambda number: ["--a=1"] * number)


@pytest.mark.parametrize(
    ("framework", "api", "kind"),
    [
        ("pytorch", "operator", "PyTorchJob"),
        ("pytorch", "runtimePatches", "TrainJob"),
        ("pytorch", "podTemplateOverrides", "TrainJob"),
        ("sklearn", "operator", "Job"),
        ("tensorflow", "operator", "TFJob"),
    ],
)
@settings(max_examples=30, deadline=None)
@given(
    name=st.text(min_size=1, max_size=80),
    arguments=st.lists(TEXT, max_size=12) | MANY,
    workers=st.integers(1, 5),
    resources=RESOURCES,
    policy=POLICIES,
    store_secret=st.none() | NAMES,
    registry_secret=st.sampled_from([None, "store"]),
    pod=st.none() | PODS,
)
def test_a_training_job_is_valid(
    schemas: dict[TrainingForm, Schemas],
    framework: str,
    api: TrainingForm,
    kind: str,
    name: str,
    arguments: list[str],
    workers: int,
    resources: ResourcesSpec,
    policy: PolicySpec,
    store_secret: str | None,
    registry_secret: str | None,
    pod: PodSpec | None,
) -> None:
    model = ModelIdentity(
        id="dev/m",
        name=name,
        description="",
        version="1",
        framework=framework,
        framework_version="1",
    )

    def make() -> dict[str, Any]:
        return training_job(
            model,
            identity=identity("run", "dag", "train"),
            run_id="run",
            namespace="ns",
            image="me/m@sha256:0",
            arguments=arguments,
            upload_uri="s3://bucket/m",
            workers=workers,
            resources=resources,
            policy=policy,
            api=api,
            main_file="train.py",
            store_secret=store_secret,
            registry_secret=registry_secret,
            pod=pod,
        )

    if kind == "TrainJob" and len(arguments) > 127:
        with pytest.raises(ModelValidationException, match="at most 128 arguments"):
            make()
        return
    made = make()
    assert made["kind"] == kind
    assert missing(made, admitted(made, schemas[api])) == []
    assert len(made["metadata"]["name"]) <= 50
    if kind == "TrainJob":  # the operator's own webhook refuses these
        variables = [variable["name"] for variable in made["spec"]["trainer"]["env"]]
        assert not [name for name in variables if name.startswith("PET_")]


def test_what_trainer_2_1_does_not_know(schemas: dict[TrainingForm, Schemas]) -> None:
    job = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "t"},
    }
    override = {"targetJobs": [{"name": "node"}], "spec": {"securityContext": {}}}
    patch = {"manager": "me.io/me", "trainingRuntimeSpec": {}}
    wrong = {
        "spec.runtimePatches": {"runtimePatches": [patch]},
        "spec.activeDeadlineSeconds": {"activeDeadlineSeconds": 5},
        "spec.podTemplateOverrides[0].spec.securityContext": {"podTemplateOverrides": [override]},
    }
    before = schemas["podTemplateOverrides"]
    for path, fields in wrong.items():
        spec = {"runtimeRef": {"name": "torch-distributed"}, **fields}
        with pytest.raises(ObjectInvalidError, match=f'unknown field "{re.escape(path)}"'):
            admitted({**job, "spec": spec}, before)


def test_the_check_can_fail() -> None:
    job = {"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "metadata": {"name": "t"}}
    with pytest.raises(ObjectInvalidError, match=r'unknown field "spec\.tfReplicaSpec"'):
        SCHEMAS.admit({**job, "spec": {"tfReplicaSpec": {}}}, validation="Strict")
    with pytest.raises(ObjectInvalidError, match=r"spec\.tfReplicaSpecs: Required value"):
        SCHEMAS.admit({**job, "spec": {}}, validation="Strict")
    assert missing({"a": [1, {"b": 2}], "c": 3}, {"a": [1, {}], "c": "3"}) == [".a[1].b", ".c"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"podTemplateOverrides": []}, r'unknown field "spec\.podTemplateOverrides"'),
        ({"trainer": {"numProcPerNode": "auto"}}, "must be of type integer"),
        ({"trainer": {"numProcPerNode": 0}}, "must be greater than or equal to 1"),
        ({"trainer": {"env": [{"name": "A"}, {"name": "A"}]}}, "Duplicate value"),
    ],
)
def test_a_trainjob_that_is_not_valid(wrong: dict[str, Any], message: str) -> None:
    runtime = {"runtimeRef": {"name": "torch-distributed"}}
    job = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "t"},
    }
    assert admitted({**job, "spec": runtime})
    with pytest.raises(ObjectInvalidError, match=message):
        admitted({**job, "spec": {**runtime, **wrong}})


def test_the_form_of_trainjobs_is_the_one_that_the_schema_has() -> None:
    crd = yaml.load(
        (CRDS / "trainer.kubeflow.org_trainjobs.yaml").read_text("utf-8"),
        getattr(yaml, "CSafeLoader", yaml.SafeLoader),
    )
    (version,) = [v for v in crd["spec"]["versions"] if v["storage"]]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    installed = {"TrainJob": spec["properties"]}
    assert training_form(ModelFramework.PYTORCH, "auto", installed) == "runtimePatches"


def test_all_that_these_schemas_say_is_applied() -> None:
    assert SCHEMAS.unsupported_rules == ()
