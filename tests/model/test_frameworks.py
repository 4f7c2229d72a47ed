from __future__ import annotations

import pytest

from kaptain_kfp.exceptions import UnsupportedModelFrameworkException
from kaptain_kfp.model.frameworks import ModelFramework


@pytest.mark.parametrize(
    ("framework", "value", "job_kind", "servable"),
    [
        (ModelFramework.TENSORFLOW, "tensorflow", "TFJob", True),
        (ModelFramework.PYTORCH, "pytorch", "PyTorchJob", True),
        (ModelFramework.SKLEARN, "sklearn", "Job", True),
        (ModelFramework.XGBOOST, "xgboost", "Job", True),
        (ModelFramework.LIGHTGBM, "lightgbm", "Job", True),
        (ModelFramework.ONNX, "onnx", "Job", True),
        (ModelFramework.MXNET, "mxnet", "Job", False),
        (ModelFramework.CUSTOM, "custom", "Job", False),
    ],
)
def test_properties(framework: ModelFramework, value: str, job_kind: str, servable: bool) -> None:
    assert framework.value == value
    assert framework.job_kind == job_kind
    assert framework.container_name == value
    assert framework.servable is servable


def test_there_are_no_others() -> None:
    assert len(ModelFramework) == 8


@pytest.mark.parametrize("framework", ModelFramework)
def test_of_itself_and_its_name(framework: ModelFramework) -> None:
    assert ModelFramework.of(framework) is framework
    assert ModelFramework.of(framework.value) is framework
    assert ModelFramework.of(framework.name) is framework


@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("tf", ModelFramework.TENSORFLOW),
        ("TF", ModelFramework.TENSORFLOW),
        ("TensorFlow", ModelFramework.TENSORFLOW),
        ("torch", ModelFramework.PYTORCH),
        ("PyTorch", ModelFramework.PYTORCH),
        ("scikit-learn", ModelFramework.SKLEARN),
        ("Scikit-Learn", ModelFramework.SKLEARN),
        ("scikit_learn", ModelFramework.SKLEARN),
        ("xgb", ModelFramework.XGBOOST),
        ("lgbm", ModelFramework.LIGHTGBM),
    ],
)
def test_of_other_names(name: str, framework: ModelFramework) -> None:
    assert ModelFramework.of(name) is framework


@pytest.mark.parametrize("name", ["jax", "", "tensor flow", None, 1])
def test_of_unknown_lists_the_known(name: object) -> None:
    with pytest.raises(UnsupportedModelFrameworkException) as caught:
        ModelFramework.of(name)  # type: ignore[arg-type]
    assert f"framework={name!r}" in str(caught.value)
    for known in ModelFramework:
        assert known.value in str(caught.value)
