"""TrainJobs against the real schema; unknown fields are refused, as strict validation does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.manifests.forms import training_form
from kaptain_kfp.manifests.names import identity
from kaptain_kfp.manifests.train import training_job
from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.specs import ModelIdentity, PolicySpec, ResourcesSpec

CRD = Path(__file__).parents[3] / "shared" / "crds" / "trainer.kubeflow.org_trainjobs.yaml"

pytestmark = pytest.mark.skipif(
    not CRD.exists(), reason=f"no CRD schemas: {CRD.parent.name} is not beside the checkout"
)


def strict(schema: Any) -> Any:
    """Makes unknown fields an error."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if "properties" in made and "x-kubernetes-preserve-unknown-fields" not in made:
        made.setdefault("additionalProperties", False)
    if made.pop("x-kubernetes-int-or-string", False):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return made


@pytest.fixture(scope="module")
def schema() -> Any:
    crd = yaml.safe_load(CRD.read_text("utf-8"))
    (version,) = [v for v in crd["spec"]["versions"] if v["storage"]]
    return version["schema"]["openAPIV3Schema"]


@pytest.fixture(scope="module")
def validator(schema: Any) -> Any:
    made = strict(schema)
    made["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(made)


def test_the_form_is_the_one_that_the_schema_has(schema: Any) -> None:
    installed = {"TrainJob": schema["properties"]["spec"]["properties"]}
    assert training_form(ModelFramework.PYTORCH, "auto", installed) == "runtimePatches"


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


@settings(max_examples=30, deadline=None)
@given(
    name=st.text(min_size=1, max_size=80),
    arguments=st.lists(TEXT, max_size=4),
    workers=st.integers(1, 5),
    cpu=st.sampled_from([None, "1", "500m", "1.5"]),
    gpus=st.sampled_from([None, "1", "4"]),
    timeout=st.integers(1, 10**6),
)
def test_every_trainjob_is_valid(
    validator: Any,
    name: str,
    arguments: list[str],
    workers: int,
    cpu: str | None,
    gpus: str | None,
    timeout: int,
) -> None:
    model = ModelIdentity(
        id="dev/m",
        name=name,
        description="",
        version="1",
        framework="pytorch",
        framework_version="2",
    )
    made = training_job(
        model,
        identity=identity("run", "dag", "train"),
        run_id="run",
        namespace="ns",
        image="me/m@sha256:0",
        arguments=arguments,
        upload_uri="s3://bucket/m",
        workers=workers,
        resources=ResourcesSpec(cpu_limit=cpu, gpu_limit=gpus),
        policy=PolicySpec(timeout_seconds=timeout),
        api="runtimePatches",
        main_file="train.py",
    )
    validator.validate(made)
    assert len(made["metadata"]["name"]) <= 50
    variables = [variable["name"] for variable in made["spec"]["trainer"]["env"]]
    assert not [name for name in variables if name.startswith("PET_")]
    assert len(set(variables)) == len(variables), "the schema's key of the list"


def test_the_check_can_fail(validator: Any) -> None:
    runtime = {"runtimeRef": {"name": "torch-distributed"}}
    validator.validate({"spec": runtime})
    for wrong in ({"podTemplateOverrides": []}, {"trainer": {"numProcPerNode": "auto"}}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({"spec": {**runtime, **wrong}})
