"""Every manifest that we can make, against the schemas of the real operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.manifests.names import identity
from kaptain_kfp.manifests.train import training_job
from kaptain_kfp.specs import ModelIdentity, PolicySpec, ResourcesSpec

CRDS = Path(__file__).parents[3] / "shared" / "crds"
FILES = {"tensorflow": "kubeflow.org_tfjobs.yaml", "pytorch": "kubeflow.org_pytorchjobs.yaml"}

pytestmark = pytest.mark.skipif(
    not CRDS.exists(), reason=f"no CRD schemas: {CRDS.name} is not beside the checkout"
)


def strict(schema: Any) -> Any:
    """Makes unknown fields an error, as strict field validation does."""
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


_VALIDATORS: dict[str, Any] = {}


def validator_of(framework: str) -> Any:
    if framework not in _VALIDATORS:
        crd = yaml.safe_load((CRDS / FILES[framework]).read_text("utf-8"))
        (version,) = [v for v in crd["spec"]["versions"] if v["storage"]]
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        _VALIDATORS[framework] = jsonschema.Draft202012Validator(schema)
    return _VALIDATORS[framework]


QUANTITIES = st.sampled_from([None, "1", "500m", "2Gi", "1.5"])
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


@pytest.mark.parametrize("framework", sorted(FILES))
@settings(max_examples=30, deadline=None)
@given(
    name=st.text(min_size=1, max_size=80),
    arguments=st.lists(TEXT, max_size=4),
    workers=st.integers(1, 5),
    cpu=QUANTITIES,
    gpus=st.sampled_from([None, "1", "4"]),
    ttl=st.none() | st.integers(0, 1000),
    timeout=st.integers(1, 10**6),
)
def test_a_training_job_is_valid(
    framework: str,
    name: str,
    arguments: list[str],
    workers: int,
    cpu: str | None,
    gpus: str | None,
    ttl: int | None,
    timeout: int,
) -> None:
    model = ModelIdentity(
        id="dev/m",
        name=name,
        description="",
        version="1",
        framework=framework,
        framework_version="1",
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
        policy=PolicySpec(timeout_seconds=timeout, ttl_seconds_after_finished=ttl),
    )
    validator_of(framework).validate(made)
    assert len(made["metadata"]["name"]) <= 50


def test_the_check_can_fail() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator_of("tensorflow").validate({"spec": {"tfReplicaSpec": {}}})
