from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp import PodOptions
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.specs import PodSpec, Toleration

GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def test_nothing_is_asked_for_by_default() -> None:
    assert PodOptions().spec == PodSpec()
    assert PodOptions() == PodOptions()


def test_everything() -> None:
    made = PodOptions(
        labels={"team": "vision", "example.com/cost": ""},
        annotations={"note": "any text: even this"},
        node_selector={"accelerator": "a100"},
        tolerations=[GPU_TAINT, {"operator": "Exists"}],
        shm_size="2Gi",
        service_account="trainer",
        image_pull_secrets=["regcred"],
    )
    assert made.spec.tolerations == (Toleration(**GPU_TAINT), Toleration(operator="Exists"))  # type: ignore[arg-type]
    assert made.spec.shm_size == "2Gi"
    assert PodSpec.model_validate(made.spec.dump()) == made.spec


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"labels": {"a b": "c"}}, "the key of labels"),
        ({"labels": {"a": "x" * 64}}, r"labels\['a'\]"),
        ({"labels": ["a"]}, "labels"),
        ({"annotations": {"a": 1}}, r"annotations\['a'\]"),
        ({"node_selector": {"a": None}}, r"node_selector\['a'\]"),
        ({"tolerations": ["x"]}, r"tolerations\[0\]"),
        ({"tolerations": [{"keys": "x"}]}, r"tolerations\[0\]"),
        ({"tolerations": [{"key": "x", "operator": "In"}]}, r"tolerations\[0\]\['operator'\]"),
        ({"tolerations": [GPU_TAINT, {**GPU_TAINT, "value": "y"}]}, r"tolerations\[1\]\['value'\]"),
        ({"tolerations": [{"effect": "NoSchedule"}]}, r"tolerations\[0\]"),
        ({"service_account": "Trainer"}, "service_account"),
        ({"image_pull_secrets": "regcred"}, "image_pull_secrets"),
        ({"image_pull_secrets": ["a", ""]}, r"image_pull_secrets\[1\]"),
    ],
)
def test_what_can_not_be(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ModelValidationException, match=f"PodOptions: {field} can't be"):
        PodOptions(**given)


def test_a_size_that_is_none() -> None:
    with pytest.raises(ModelValidationException, match="shm_size"):
        PodOptions(shm_size="2 Gb")
