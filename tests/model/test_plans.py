from __future__ import annotations

import inspect
from typing import Any

import pytest

from kaptain_kfp import Model
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.model.plans import plan_build, plan_of, plan_train


def test_a_plan_by_name_is_that_of_the_method() -> None:
    given: dict[str, Any] = {"hyperparameters": {"--lr": 0.1}, "workers": 3, "timeout": 60}
    assert plan_of("train", given) == plan_train({"--lr": 0.1}, workers=3, timeout=60)
    assert plan_of("build", {}) == plan_build()


def test_what_a_plan_holds() -> None:
    plan = plan_train({"--lr": 0.1}, {"--log": "x"}, memory="2G", timeout=60)
    assert plan.action == "train"
    assert plan.parameters["hyperparameters"] == {"--lr": "0.1"}
    assert plan.parameters["policy"]["timeout_seconds"] == 60
    assert plan.parameters["resources"]["memory_limit"] == "2G"
    assert plan.given == {"hyperparameters": {"--lr": 0.1}, "args": {"--log": "x"}}


def test_plans_take_what_the_methods_take() -> None:
    of_method = dict(inspect.signature(Model.train).parameters)
    for name in ("self", "verbose", "wait"):
        del of_method[name]
    of_plan = dict(inspect.signature(plan_train).parameters)
    del of_plan["training_api"]
    assert list(of_method.values()) == list(of_plan.values())


def test_the_training_api_is_that_of_the_configuration() -> None:
    plan = plan_of("train", {"hyperparameters": {}}, "trainer")
    assert plan.parameters["policy"]["training_api"] == "trainer"


@pytest.mark.parametrize(
    ("action", "arguments", "words"),
    [
        ("fly", {}, "action='fly'"),
        (["train"], {}, "can't be scheduled"),
        ("train", {}, "missing a required argument: 'hyperparameters'"),
        ("train", {"hyperparameters": {}, "wait": True}, "unexpected keyword argument 'wait'"),
        ("train", {"hyperparameters": {}, "workers": "x"}, "workers must be a whole number"),
        ("train", {"hyperparameters": {}, "training_api": "auto"}, "'training_api'"),
        ("build", {"verbose": True}, "'verbose'"),
    ],
)
def test_what_cannot_be(action: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        plan_of(action, arguments)
    assert words in caught.value.message
    assert caught.value.hint
