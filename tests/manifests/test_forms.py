"""Which training jobs are made, by what a cluster has."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.exceptions import OperatorMissingError
from kaptain_kfp.manifests.forms import SCHEMA_PATHS, installed_by, training_form
from kaptain_kfp.model.frameworks import ModelFramework

OPERATOR: dict[str, tuple[str, ...]] = {"TFJob": ("tfReplicaSpecs",), "PyTorchJob": ()}
NOW = {"TrainJob": ("trainer", "runtimePatches", "activeDeadlineSeconds")}
BEFORE = {"TrainJob": ("trainer", "podTemplateOverrides", "labels")}
OLD = {"TrainJob": ("trainer", "podSpecOverrides", "labels")}
STRANGE = {"TrainJob": ("trainer",)}


@pytest.mark.parametrize(
    ("framework", "wanted", "installed", "expected"),
    [
        ("pytorch", "auto", OPERATOR, "operator"),
        ("pytorch", "auto", {**OPERATOR, **NOW}, "operator"),
        ("pytorch", "auto", NOW, "runtimePatches"),
        ("pytorch", "auto", BEFORE, "podTemplateOverrides"),
        ("pytorch", "auto", None, "operator"),
        ("pytorch", "operator", OPERATOR, "operator"),
        ("pytorch", "operator", None, "operator"),
        ("pytorch", "trainer", {**OPERATOR, **NOW}, "runtimePatches"),
        ("pytorch", "trainer", BEFORE, "podTemplateOverrides"),
        ("pytorch", "trainer", None, "runtimePatches"),
        ("tensorflow", "auto", {**OPERATOR, **NOW}, "operator"),
        ("sklearn", "auto", {}, "operator"),
        ("sklearn", "trainer", {}, "operator"),
        ("xgboost", "operator", {}, "operator"),
    ],
)
def test_the_choice(framework: str, wanted: Any, installed: Any, expected: str) -> None:
    assert training_form(ModelFramework.of(framework), wanted, installed) == expected


@pytest.mark.parametrize(
    ("framework", "wanted", "installed", "message", "hint"),
    [
        ("pytorch", "operator", NOW, "Training Operator is not installed", "Config(training_api"),
        ("pytorch", "auto", {}, "the cluster has no PyTorchJobs", "Kubeflow Trainer"),
        ("tensorflow", "auto", NOW, "the cluster has no TFJobs", "no runtime for tensorflow"),
        ("tensorflow", "trainer", NOW, "no runtime for tensorflow", "training_api='operator'"),
        ("pytorch", "trainer", OPERATOR, "Kubeflow Trainer is not installed", "'operator'"),
        ("pytorch", "trainer", OLD, "too old.*podSpecOverrides", "2.1 or newer"),
        ("pytorch", "auto", OLD, "too old.*podSpecOverrides", "2.1 or newer"),
        ("pytorch", "trainer", STRANGE, "can change no pods", "2.1 or newer"),
    ],
)
def test_what_is_missing(
    framework: str, wanted: Any, installed: Any, message: str, hint: str
) -> None:
    with pytest.raises(OperatorMissingError, match=message) as caught:
        training_form(ModelFramework.of(framework), wanted, installed)
    assert hint in (caught.value.hint or "") and caught.value.reason


def test_fields_by_a_servers_own_document() -> None:
    document = {
        "openapi": "3.0.0",
        "components": {
            "schemas": {
                "io.kubernetes.meta.v1.ObjectMeta": {"type": "object"},
                "org.kubeflow.trainer.v1alpha1.TrainJob": {
                    "type": "object",
                    "properties": {
                        "metadata": {},
                        "spec": {"properties": {"trainer": {}, "runtimePatches": {}}},
                    },
                    "x-kubernetes-group-version-kind": [
                        {
                            "group": "trainer.kubeflow.org",
                            "kind": "TrainJob",
                            "version": "v1alpha1",
                        }
                    ],
                },
            }
        },
    }
    trainer = "/openapi/v3/apis/trainer.kubeflow.org/v1alpha1"
    operator = "/openapi/v3/apis/kubeflow.org/v1"
    assert {trainer, operator} == set(SCHEMA_PATHS)
    expected = {"TrainJob": {"trainer", "runtimePatches"}}
    assert installed_by({trainer: document, operator: None}) == expected
    assert installed_by({operator: document}) == {}, "it has other kinds"
    assert installed_by({}) == {}
