"""Every manifest that we can make, against the schemas of the real operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaptain_kfp.exceptions import ObjectInvalidError
from kaptain_kfp.manifests.names import identity
from kaptain_kfp.manifests.train import training_job
from kaptain_kfp.specs import ModelIdentity, PolicySpec, ResourcesSpec
from kaptain_kfp.testing.schemas import Schemas

CRDS = Path(__file__).resolve().parents[3] / "shared" / "crds"

if not CRDS.exists():
    pytest.skip("the CRDs aren't there: ../shared/crds", allow_module_level=True)

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


QUANTITIES = st.sampled_from([None, "1", "500m", "2Gi", "1.5"])
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
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
    assert (made["apiVersion"], made["kind"]) in {(k.api_version, k.kind) for k in SCHEMAS.kinds}
    assert missing(made, SCHEMAS.admit(made, validation="Strict").object) == []
    assert len(made["metadata"]["name"]) <= 50


def test_the_check_can_fail() -> None:
    job = {"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "metadata": {"name": "t"}}
    with pytest.raises(ObjectInvalidError, match=r'unknown field "spec\.tfReplicaSpec"'):
        SCHEMAS.admit({**job, "spec": {"tfReplicaSpec": {}}}, validation="Strict")
    with pytest.raises(ObjectInvalidError, match=r"spec\.tfReplicaSpecs: Required value"):
        SCHEMAS.admit({**job, "spec": {}}, validation="Strict")
    assert missing({"a": [1, {"b": 2}], "c": 3}, {"a": [1, {}], "c": "3"}) == [".a[1].b", ".c"]


def test_all_that_these_schemas_say_is_applied() -> None:
    assert SCHEMAS.unsupported_rules == ()
