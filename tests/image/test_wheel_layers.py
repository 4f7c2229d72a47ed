from __future__ import annotations

import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image import sources
from kaptain_kfp.image.builder import NewLayer
from kaptain_kfp.image.layer_cache import KeptLayer, LayerCache
from kaptain_kfp.image.layers.tar import LayerPlan
from kaptain_kfp.image.oci import Descriptor, Family, Manifest
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.image.wheel_layers import WheelLayers

DIGEST = f"sha256:{1:064x}"


def base_of(*variables: str, digest: str = DIGEST) -> RemoteImage:
    manifest = Manifest(Family.OCI, Descriptor(Family.OCI.config, DIGEST, 1), ())
    config = {"os": "linux", "architecture": "amd64", "config": {"Env": list(variables)}}
    reference = image_reference("own.example/base").at(digest)
    return RemoteImage(reference, DIGEST, manifest, config)


PYTHON = base_of("PYTHON_VERSION=3.11.9")


class Project:
    """A code folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.code = root / "code"
        self.code.mkdir()
        (self.code / "main.py").write_text("print(1)\n")
        self.said: list[str] = []
        self.count = 0
        self.folders: tuple[str, ...] = ()

    def require(self, text: str) -> None:
        (self.code / "requirements.txt").write_text(text)

    def layers(self, base: RemoteImage = PYTHON, **options: Any) -> Sequence[NewLayer]:
        self.said.clear()
        self.count += 1
        listed = "requirements.txt" if (self.code / "requirements.txt").exists() else None
        found = sources.collect(self.code, "main.py", self.folders, requirements=listed)
        make = WheelLayers(
            self.code,
            found,
            sources.digest_sources(found),
            LayerCache(self.root / "cache"),
            self.said.append,
            **options,
        )
        scratch = self.root / f"scratch-{self.count}"
        scratch.mkdir()
        return make(base, scratch)

    @property
    def installed(self) -> bool:
        return any(line.startswith("Installing requirements.txt") for line in self.said)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return project


def said_of(layers: Sequence[NewLayer]) -> list[str]:
    return [
        (layer.layer if isinstance(layer, KeptLayer) else layer).created_by.split()[0]
        for layer in layers
    ]


@pytest.mark.parametrize("text", [None, "# nothing\n"])
def test_without_requirements_no_python_is_asked_for(project: Project, text: str | None) -> None:
    if text:
        project.require(text)
    assert said_of(project.layers(base_of())) == ["kaptain_kfp", "training"]


def test_requirements_are_installed_once(project: Project, make_wheel: Callable[..., Path]) -> None:
    make_wheel(project.root / "wheels", "first")
    project.require("first\n")
    layers = project.layers()
    assert said_of(layers) == ["requirements", "kaptain_kfp", "training"]
    assert project.installed
    (project.code / "main.py").write_text("print(2)\n")
    project.require("# said otherwise\nfirst\n")
    assert project.layers()[0] == layers[0]
    assert not project.installed


def test_they_are_installed_anew_for_another_base(
    project: Project, make_wheel: Callable[..., Path]
) -> None:
    make_wheel(project.root / "wheels", "first")
    project.require("first\n")
    project.layers()
    project.layers(base_of("PYTHON_VERSION=3.11.9", digest=f"sha256:{2:064x}"))
    assert project.installed
    project.layers(python_version="3.12")
    assert project.installed
    project.layers(exclude=("first",))
    assert project.installed


def test_they_are_installed_anew_from_another_index_by_a_python_without_pip(
    project: Project, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.EnvBuilder(with_pip=False, symlinks=True).create(project.root / "bare")
    monkeypatch.setattr(sys, "executable", str(project.root / "bare" / "bin" / "python"))
    make_wheel(project.root / "wheels", "first")
    make_wheel(project.root / "others", "first", "2.0")
    project.require("first\n")
    first = project.layers()[0]
    assert project.layers()[0] == first
    assert not project.installed
    monkeypatch.setenv("PIP_FIND_LINKS", str(project.root / "others"))
    assert project.layers()[0] != first
    assert project.installed


def test_settings_that_pip_cannot_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "pip.conf").write_text("no setting\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(project.root / "pip.conf"))
    project.require("first\n")
    with pytest.raises(ImageBuildException) as caught:
        project.layers()
    assert "pip.conf" in (caught.value.log_tail or "")


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_they_are_installed_anew_where_pip_is_constrained(
    project: Project, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(project.root / "wheels", "first", version)
    project.require("first\n")
    first = project.layers()[0]
    constraints = project.root / "constraints.txt"
    monkeypatch.setenv("PIP_CONSTRAINT", f"{scheme}{constraints}")
    constraints.write_text("first<2\n")
    second = project.layers()[0]
    assert second != first
    constraints.write_text("# of old\nfirst <2\n")
    assert project.layers()[0] == second
    assert not project.installed
    constraints.write_text("first<3\n")
    project.layers()
    assert project.installed


def test_what_is_named_by_its_path_goes_with_the_code(
    project: Project, make_wheel: Callable[..., Path]
) -> None:
    wheel = make_wheel(project.code, "own")
    project.require(f"./{wheel.name}\n")
    for _ in range(2):
        layers = project.layers()
        assert project.installed
        code = layers[-1]
        assert isinstance(code, LayerPlan)
        paths = {entry.path for entry in code.entries}
        assert {"kaptain/main.py", "opt/kaptain/code-packages/own/__init__.py"} <= paths


def test_a_folder_of_wheels_counts_by_what_lies_in_it(
    project: Project, make_wheel: Callable[..., Path]
) -> None:
    make_wheel(project.code / "wheels", "own")
    project.folders = ("wheels",)
    project.require("--find-links wheels\nown\n")
    first = project.layers()[0]
    project.code = project.code.rename(project.root / "elsewhere")
    assert project.layers()[0] == first
    assert not project.installed
    make_wheel(project.code / "wheels", "own", files={"own.py": "changed"})
    assert project.layers()[0] != first
    assert project.installed


def test_what_came_from_a_folder_beside_the_code_is_not_kept(
    project: Project, make_wheel: Callable[..., Path]
) -> None:
    make_wheel(project.root / "others", "own")
    project.require("--find-links ../others\nown\n")
    for _ in range(2):
        assert isinstance(project.layers()[0], LayerPlan)
        assert project.installed


def test_a_python_that_nobody_knows(project: Project) -> None:
    project.require("first\n")
    with pytest.raises(ImageBuildException, match="doesn't say which Python") as caught:
        project.layers(base_of())
    assert "python_version" in str(caught.value.hint)


def test_a_requirement_that_does_not_exist(project: Project, tmp_path: Path) -> None:
    project.require("nowhere-to-be-found\n")
    with pytest.raises(ImageBuildException, match="nowhere-to-be-found"):
        project.layers()
    assert list((tmp_path / "cache").iterdir()) == []
