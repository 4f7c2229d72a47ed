from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any

import pytest

from kaptain_kfp.model.frameworks import ModelFramework
from kaptain_kfp.model.meta import ModelMeta


def make(**changes: Any) -> ModelMeta:
    values: dict[str, Any] = {
        "id": "dev/mnist",
        "name": "MNIST",
        "description": "Digits",
        "version": "1",
        "framework": ModelFramework.SKLEARN,
        "framework_version": "1.5",
        "main_file": "trainer.py",
        "image_name": "kaptain/mnist",
        "base_image": "python:3.11",
        "extra_files": ["data", "model.py"],
        "labels": ["a", "b"],
        "state": "trained",
        "revision": "0" * 32,
        "hyperparameters": {"--lr": 0.1, "--layers": [1, {"x": 2}]},
        "metrics": {"accuracy": {"latest": 0.9}},
        "model_uri": "s3://kaptain/models/dev/mnist/trained/x",
    }
    return ModelMeta(**{**values, **changes})


def test_fields_in_order() -> None:
    assert [field.name for field in fields(ModelMeta)] == [
        *("id", "name", "description", "version", "framework", "framework_version", "main_file"),
        *("image_name", "base_image", "extra_files", "requirements", "labels", "state"),
        *("revision", "hyperparameters", "metrics", "model_uri"),
    ]


def test_is_a_copy() -> None:
    extra_files, layers = ["data"], [1]
    hyperparameters: dict[str, Any] = {"--layers": layers}
    meta = make(extra_files=extra_files, hyperparameters=hyperparameters)
    extra_files.append("more")
    layers.append(2)
    hyperparameters["--lr"] = 1
    assert meta.extra_files == ("data",)
    assert meta.hyperparameters == {"--layers": (1,)}


def test_none_stays_none() -> None:
    meta = make(hyperparameters=None, metrics=None, model_uri=None)
    assert (meta.hyperparameters, meta.metrics, meta.model_uri) == (None, None, None)
    assert meta.requirements is None


@pytest.mark.parametrize("field", fields(ModelMeta), ids=lambda field: field.name)
def test_no_field_can_be_assigned(field: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(make(), field.name, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.__setitem__("x", 1),
        lambda values: values.__delitem__("accuracy"),
        lambda values: values.update(x=1),
        lambda values: values.clear(),
        lambda values: values.pop("accuracy"),
        lambda values: values.popitem(),
        lambda values: values.setdefault("x", 1),
        lambda values: values.__ior__({"x": 1}),
        lambda values: values["accuracy"].update(latest=1),
    ],
)
def test_no_mapping_can_be_changed(change: Callable[[Any], object]) -> None:
    meta = make()
    with pytest.raises(TypeError, match="snapshot"):
        change(meta.metrics)
    assert meta.metrics == {"accuracy": {"latest": 0.9}}


def test_is_a_value() -> None:
    meta = make()
    again = [make(), copy.deepcopy(meta), pickle.loads(pickle.dumps(meta))]
    assert again == [meta] * 3
    assert len({meta, *again}) == 1
    assert make(metrics={"accuracy": {"latest": 0.8}}) != meta


def test_becomes_json() -> None:
    values = asdict(make())
    values["framework"] = values["framework"].value
    again = json.loads(json.dumps(values))
    assert again["hyperparameters"] == {"--lr": 0.1, "--layers": [1, {"x": 2}]}
    assert again["extra_files"] == ["data", "model.py"]
