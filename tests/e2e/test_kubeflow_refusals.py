"""Images that can't be built on Kubeflow: one clear error, nothing half-made in the registry."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import (
    ImageNotFoundError,
    ModelValidationException,
    RegistryAuthError,
)
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.model.states import ModelState
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.testing.registry import serve_registry

from .kubeflow import Kubeflow

SECRET = "not-the-right-one"


def test_a_missing_base_image(kubeflow: Kubeflow) -> None:
    missing = f"{kubeflow.registry.host}/library/missing:3.11"
    model = kubeflow.model("print('training')", base_image=missing)
    with pytest.raises(ImageNotFoundError, match=f"{missing} isn't there") as caught:
        model.build()
    assert caught.value.hint
    assert model.state is ModelState.UNTRAINED
    assert [record.event for record in model.history()] == ["submitted", "error"]
    with RegistryClient() as client:
        assert client.find(image_reference(f"{model.image_name}:dev-digits-sklearn-1.5")) is None


def test_wrong_credentials(
    kubeflow: Kubeflow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve_registry(tmp_path / "guarded", htpasswd={"ann": "word"}) as guarded:
        auths = {"auths": {guarded.host: {"username": "ann", "password": SECRET}}}
        docker = DockerConfigurationProvider(json.dumps(auths))
        model = kubeflow.model(
            "print('training')",
            image_name=f"{guarded.host}/team/digits",
            config=kubeflow.config(docker_config_provider=docker),
        )
        with pytest.raises(
            RegistryAuthError, match=f"{guarded.host} doesn't let user 'ann'"
        ) as caught:
            model.build()
    told = [str(caught.value), repr(caught.value), repr(model.config), caplog.text]
    assert not any(SECRET in text for text in told)
    # nothing was sent, and nothing was started
    assert kubeflow.bucket() == []
    assert kubeflow.objects("Pod") == []


@pytest.mark.parametrize(
    "name", ["team/Digits", "team/digits:no spaces", "team/digits:" + "x" * 129, "team//digits"]
)
def test_a_name_that_is_not_allowed(kubeflow: Kubeflow, name: str) -> None:
    with pytest.raises(ModelValidationException, match="image_name") as caught:
        kubeflow.model("print('training')", image_name=name).build()
    assert name in str(caught.value)
    assert kubeflow.bucket() == []
