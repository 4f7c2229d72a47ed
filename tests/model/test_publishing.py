"""Models published from here, to a real registry; what is there is judged by skopeo."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.exceptions import ImageNotFoundError, ModelValidationException
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.faulty_proxy import FaultyProxy

_numbers = itertools.count()


class Project:
    """A project of a user, and its model."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder / "project"
        self.home = folder / "home"
        self.host = host
        self.folder.mkdir()
        self.write("print('training')\n")

    def write(self, script: str) -> None:
        (self.folder / "train.py").write_text(script, encoding="utf-8")

    def model(self, **properties: Any) -> Model:
        config = Config.local(home=self.home, base_dir=self.folder)
        return Model(
            **{
                "id": "dev/digits",
                "name": "Digits",
                "description": "What the test builds",
                "version": "1.0",
                "framework": "sklearn",
                "framework_version": "1.5+cpu",
                "main_file": "train.py",
                "image_name": f"{self.host}/team/digits-{next(_numbers)}",
                "base_image": f"{self.host}/base:1",
                "config": config,
                **properties,
            }
        )

    def push_base(self, **environment: str) -> str:
        with RegistryClient() as client:
            return push_base_image(client, f"{self.host}/base:1", environment)


@pytest.fixture
def project(tmp_path: Path, proxy: FaultyProxy) -> Project:
    project = Project(tmp_path, proxy.url.removeprefix("http://"))
    project.push_base(PYTHON_VERSION="3.11")
    return project


def test_it_is_in_the_registry_and_on_record(
    project: Project, capfd: pytest.CaptureFixture[str], skopeo: Callable[..., Any]
) -> None:
    base = project.push_base(PYTHON_VERSION="3.11")
    model = project.model()
    assert model.build(True, publish=True) is True
    name = f"{model.image_name}:dev-digits-sklearn-1.5-cpu"
    told = skopeo(name)
    (record,) = model.history()
    assert (record.event, record.action) == ("outcome", "build")
    assert record.outcome is not None
    image = record.outcome.image
    assert image is not None and image.built
    assert image.name == name
    assert image.reference == f"{model.image_name}@{told['Digest']}"
    assert image.base == f"{model.base_image}@{base}"
    assert image.checksum == told["Labels"]["checksum"]
    said = capfd.readouterr().err
    assert f"{name} is pushed: {told['Digest']}" in said
    assert "Layer with training code in /kaptain" in said
    # nothing ran, and nothing is left to wait for
    assert model.last_run is None
    assert Model.attach("dev/digits", config=model.config).image_name == model.image_name


def test_a_second_build_sends_nothing(project: Project, proxy: FaultyProxy) -> None:
    model = project.model()
    model.build(publish=True)
    for again in (model, project.model(image_name=model.image_name)):
        proxy.requests.clear()
        assert again.build(publish=True) is True
        assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
        assert len(proxy.requests) <= 4
    assert len(model.history()) == 1


def test_changed_code_replaces_the_tag(project: Project, skopeo: Callable[..., Any]) -> None:
    model = project.model(image_name=f"{project.host}/team/tagged:mine")
    model.build(publish=True)
    first = skopeo(model.image_name)
    project.write("print('better')\n")
    model.build(publish=True)
    second = skopeo(model.image_name)
    assert first["Labels"]["checksum"] != second["Labels"]["checksum"]
    assert first["Layers"][:-1] == second["Layers"][:-1]
    assert len(model.history()) == 2


def test_a_base_that_moved_is_taken_when_asked(
    project: Project, proxy: FaultyProxy, skopeo: Callable[..., Any]
) -> None:
    model = project.model()
    model.build(publish=True)
    moved = project.push_base(PYTHON_VERSION="3.11", MOVED="yes")
    model.build(publish=True)
    assert len(model.history()) == 1
    model.build(publish=True, refresh_base=True)
    image = model.history()[-1].outcome.image  # type: ignore[union-attr]
    assert image is not None and image.base == f"{model.base_image}@{moved}"
    assert "MOVED=yes" in skopeo(image.reference)["Env"]
    proxy.requests.clear()
    model.build(publish=True, refresh_base=True)
    assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
    assert len(model.history()) == 2


def test_what_is_wrong_is_raised_and_on_record(project: Project) -> None:
    model = project.model(base_image=f"{project.host}/no-such-base:1")
    with pytest.raises(ImageNotFoundError, match="no-such-base"):
        model.build(publish=True)
    (record,) = model.history()
    assert record.event == "error" and record.error is not None
    assert record.error.type == "ImageNotFoundError"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"publish": True, "wait": False}, "neither with wait=False"),
        ({"publish": True, "dry_run": True}, "nor with dry_run=True"),
        ({"platform": "linux/arm64"}, "platform='linux/arm64' means nothing without publish"),
        ({"python_version": "3.11"}, "python_version='3.11' means nothing without publish"),
        ({"exclude": ["torch"]}, "exclude="),
        ({"publish": True, "exclude": "torch"}, "exclude: 'torch' is text"),
        ({"publish": True, "platform": "arm"}, "platform: 'arm'"),
        ({"refresh_base": "yes"}, "refresh_base: 'yes'"),
    ],
)
def test_bad_input(project: Project, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelValidationException, match=message):
        project.model().build(**given)
