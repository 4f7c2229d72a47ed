"""Models published from here, to a real registry; what is there is judged by skopeo."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3

from kaptain_kfp import Config, Model
from kaptain_kfp.exceptions import ImageNotFoundError, ModelValidationException
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.published import PublishedImages
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.faulty_proxy import FaultyProxy
from kaptain_kfp.testing.wheels import make_wheel

from ..image.registry.conftest import push_for_both

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


def digest_of(model: Model) -> str:
    """Returns the digest of the image that the newest record names."""
    outcome = model.history()[-1].outcome
    assert outcome is not None and outcome.image is not None
    return outcome.image.reference.partition("@")[2]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that pip finds: a package that drags in torch."""
    make_wheel(tmp_path / "wheels", "torch")
    make_wheel(tmp_path / "wheels", "small", requires=["torch"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


@pytest.mark.usefixtures("wheels")
def test_what_is_left_out_counts_where_it_is_said(
    project: Project, proxy: FaultyProxy, skopeo: Callable[..., Any]
) -> None:
    (project.folder / "requirements.txt").write_text("small\n", encoding="utf-8")
    model = project.model(requirements="requirements.txt")
    model.build(publish=True)
    first = skopeo(image := f"{model.image_name}:dev-digits-sklearn-1.5-cpu")
    model.build(publish=True, exclude=["Torch"])
    second = skopeo(image)
    assert first["Layers"] != second["Layers"]
    assert second["Labels"]["kaptain-kfp/exclude"] == "torch"
    # who says nothing of it, as steps don't, has it as it is
    proxy.requests.clear()
    for given in ({"exclude": ["torch"]}, {}):
        model.build(publish=True, **given)
        assert skopeo(image)["Digest"] == second["Digest"]
    found = PublishedImages.of_step({}).find(image, second["Labels"]["checksum"])
    assert found is not None and found.reference.endswith(second["Digest"])
    model.build(publish=True, exclude=[])
    assert skopeo(image)["Digest"] == first["Digest"]
    model.build(publish=True, exclude=())
    assert len(model.history()) == 3


@pytest.mark.usefixtures("wheels")
def test_another_python_is_another_image(project: Project, skopeo: Callable[..., Any]) -> None:
    (project.folder / "requirements.txt").write_text("torch\n", encoding="utf-8")
    model = project.model(requirements="requirements.txt")
    for _ in range(2):
        model.build(publish=True, python_version="3.11")
    first = digest_of(model)
    for _ in range(2):
        model.build(publish=True, python_version="3.12")
    assert digest_of(model) != first
    assert len(model.history()) == 2
    told = skopeo(f"{model.image_name}:dev-digits-sklearn-1.5-cpu")
    assert told["Labels"]["kaptain-kfp/python-version"] == "3.12"


def test_an_image_on_an_image_of_ours_has_options_of_its_own(
    project: Project, skopeo: Callable[..., Any]
) -> None:
    below = project.model(image_name=f"{project.host}/team/below:1")
    below.build(publish=True, exclude=["torch"], python_version="3.11")
    model = project.model(base_image=below.image_name)
    for _ in range(2):
        model.build(publish=True, exclude=[])
    assert len(model.history()) == 2
    labels = skopeo(f"{model.image_name}:dev-digits-sklearn-1.5-cpu")["Labels"]
    assert not {"kaptain-kfp/exclude", "kaptain-kfp/python-version"} & set(labels)


def test_labels_follow_the_model_and_no_layer_is_sent(
    project: Project, proxy: FaultyProxy, skopeo: Callable[..., Any]
) -> None:
    model = project.model()
    model.build(publish=True)
    image = f"{model.image_name}:dev-digits-sklearn-1.5-cpu"
    first = skopeo(image)
    newer = project.model(image_name=model.image_name, version="2.0", name="Better digits")
    images = PublishedImages(newer.config)
    checksum = first["Labels"]["checksum"]
    proxy.requests.clear()
    newer.build(publish=True)
    pushed = [request for request in proxy.requests if request.method == "PUT"]
    assert len(pushed) == 2 and len(proxy.requests) <= 6
    second = skopeo(image)
    assert second["Layers"] == first["Layers"]
    assert second["Labels"]["org.opencontainers.image.version"] == "2.0"
    assert second["Labels"]["org.opencontainers.image.title"] == "Better digits"
    assert second["Labels"]["checksum"] == checksum
    identity = newer.history()[-1].submission.definition.identity  # type: ignore[union-attr]
    assert images.find(image, checksum, identity) is not None
    assert images.find(image, checksum, identity.model_copy(update={"version": "3"})) is None
    assert newer.history()[-1].outcome.image.reference.endswith(second["Digest"])  # type: ignore
    newer.build(publish=True, refresh_base=True)
    assert len(newer.history()) == 2


def test_labels_follow_where_a_layer_is_lost(
    project: Project, proxy: FaultyProxy, skopeo: Callable[..., Any]
) -> None:
    model = project.model()
    model.build(publish=True)
    image = f"{model.image_name}:dev-digits-sklearn-1.5-cpu"
    lost = skopeo(image)["Layers"][-1]
    path = f"{proxy.url}/v2/{model.image_name.partition('/')[2]}/blobs/{lost}"
    assert urllib3.request("DELETE", path, headers={"Connection": "close"}).status == 202
    project.model(image_name=model.image_name, version="2.0").build(publish=True)
    told = skopeo(image)
    assert told["Labels"]["org.opencontainers.image.version"] == "2.0"
    assert told["Layers"][-1] == lost
    assert urllib3.request("HEAD", path, headers={"Connection": "close"}).status == 200


def test_the_platform_stays_until_another_is_asked_for(
    project: Project, proxy: FaultyProxy, capfd: pytest.CaptureFixture[str]
) -> None:
    with RegistryClient() as client:
        push_for_both(client, image_reference(f"{project.host}/base:1"))
    model = project.model(image_name=f"{project.host}/team/arm:1")

    def architecture() -> str:
        with RegistryClient() as client:
            found = client.find(image_reference(model.image_name))
        assert found is not None
        return found.platform.architecture

    model.build(True, publish=True, platform="linux/arm64")
    assert f"{model.image_name} for linux/arm64 is built" in capfd.readouterr().err
    built = model.history()[-1].outcome.image  # type: ignore[union-attr]
    assert built is not None
    step = PublishedImages.of_step({}, first_platform=Platform())
    assert step.find(built.name, built.checksum) is not None
    proxy.requests.clear()
    model.build(True, publish=True)
    assert len(proxy.requests) <= 4
    assert f"{model.image_name} for linux/arm64 is up to date" in capfd.readouterr().err
    project.write("print('better')\n")
    model.build(publish=True)
    assert architecture() == "arm64"
    model.build(publish=True, platform="linux/amd64")
    assert architecture() == "amd64"
    model.build(publish=True)
    assert architecture() == "amd64"
    assert len(model.history()) == 3


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
