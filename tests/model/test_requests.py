from __future__ import annotations

import inspect
from typing import Any

import pytest

from kaptain_kfp import Model
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.model.requests import request_build, request_of, request_train


def test_a_request_by_name_is_that_of_the_method() -> None:
    given: dict[str, Any] = {"hyperparameters": {"--lr": 0.1}, "workers": 3, "timeout": 60}
    assert request_of("train", given) == request_train({"--lr": 0.1}, workers=3, timeout=60)
    assert request_of("build", {}) == request_build()


def test_what_a_request_holds() -> None:
    asked = request_train({"--lr": 0.1}, {"--log": "x"}, memory="2G", timeout=60)
    assert asked.action == "train"
    assert asked.parameters["hyperparameters"] == {"--lr": "0.1"}
    assert asked.parameters["policy"]["timeout_seconds"] == 60
    assert asked.parameters["resources"]["memory_limit"] == "2G"
    assert asked.given == {"hyperparameters": {"--lr": 0.1}, "args": {"--log": "x"}}


def test_the_builder_has_what_the_settings_say_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_BUILDER_MEM_LIMIT", "7G")
    for asked in (request_build(), request_train({})):
        assert asked.parameters["builder"]["memory_limit"] == "7G"
        assert asked.parameters["builder"]["cpu_request"] == "500m"


def test_requests_take_what_the_methods_take() -> None:
    of_method = dict(inspect.signature(Model.train).parameters)
    for name in ("self", "verbose", "wait", "dry_run"):
        del of_method[name]
    of_request = dict(inspect.signature(request_train).parameters)
    assert [p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in of_method.values()] == list(
        of_request.values()
    )


@pytest.mark.parametrize(
    ("action", "arguments", "words"),
    [
        ("fly", {}, "action='fly'"),
        (["train"], {}, "can't be planned or scheduled"),
        ("train", {}, "missing a required argument: 'hyperparameters'"),
        ("train", {"hyperparameters": {}, "wait": True}, "unexpected keyword argument 'wait'"),
        ("train", {"hyperparameters": {}, "workers": "x"}, "workers must be a whole number"),
        ("train", {"hyperparameters": {}, "training_api": "auto"}, "'training_api'"),
        ("build", {"verbose": True}, "'verbose'"),
    ],
)
def test_what_cannot_be(action: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        request_of(action, arguments)
    assert words in caught.value.message
    assert caught.value.hint
