"""What a Dockerfile has pip install, which is done at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.builder import NewLayer
from kaptain_kfp.image.dockerfile.context import Context
from kaptain_kfp.image.dockerfile.instructions import read
from kaptain_kfp.image.dockerfile.interpreter import NeedsTool
from kaptain_kfp.image.dockerfile.layers import DockerfileLayers
from kaptain_kfp.image.layers.tar import LayerPlan
from kaptain_kfp.image.oci import Descriptor, Family, Manifest
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.testing.wheels import make_wheel

DIGEST = f"sha256:{1:064x}"


def base_of(**settings: object) -> RemoteImage:
    config = {"os": "linux", "architecture": "amd64", "config": settings}
    manifest = Manifest(Family.OCI, Descriptor(Family.OCI.config, DIGEST, 1), ())
    return RemoteImage(image_reference("own.example/base").at(DIGEST), DIGEST, manifest, config)


Follow = Callable[..., Sequence[NewLayer]]


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Follow:
    wheels, code, folder = (tmp_path / name for name in ("wheels", "code", "folder"))
    for place in (wheels, code, folder):
        place.mkdir()
    (code / "extra.txt").write_text("--extra-index-url https://more.example\na\n")
    (code / "path.txt").write_text("./mine\n")
    (code / "kept.txt").write_text("a<2\n")
    for name, version in (("a", "1.0"), ("a", "2.0"), ("b", "1.0")):
        make_wheel(wheels, name, version)
    make_wheel(wheels, "old", requires=["a<2"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    context = Context.of(code, ["extra.txt", "path.txt", "kept.txt"])

    def layers(*lines: str, **settings: object) -> Sequence[NewLayer]:
        instructions = read("\n".join(["FROM a", "WORKDIR /x", "COPY *.txt ./", *lines]))
        made = DockerfileLayers("own/app", instructions, context, lambda _: None)
        return made.layers(base_of(Env=["PYTHON_VERSION=3.11.9"], **settings), folder)

    return layers


def installed(layers: Sequence[NewLayer]) -> set[str]:
    """Returns the packages with their versions."""
    assert isinstance(layers[0], LayerPlan)
    folders = {part for entry in layers[0].entries for part in entry.path.split("/")}
    return {name.removesuffix(".dist-info") for name in folders if name.endswith(".dist-info")}


@pytest.mark.parametrize(
    ("lines", "packages"),
    [
        (["RUN pip install a", "RUN pip install b"], {"a-2.0", "b-1.0"}),
        (["RUN pip install a==1.0 && pip install A==1.0 b"], {"a-1.0", "b-1.0"}),
        (["RUN pip install old", "RUN pip install a"], {"old-1.0", "a-1.0"}),
        (["RUN pip install -r extra.txt", "RUN pip install -r extra.txt"], {"a-2.0"}),
        (["RUN pip install -c kept.txt b && pip install -c kept.txt a"], {"a-1.0", "b-1.0"}),
    ],
)
def test_calls_of_pip_become_one(follow: Follow, lines: list[str], packages: set[str]) -> None:
    assert installed(follow(*lines)) == packages


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (
            ["RUN pip install a==1.0", "RUN pip install -U a"],
            "line 5: .* a is asked for in another way in line 4",
        ),
        (
            ["RUN pip install -i https://x b", "RUN pip install a"],
            "line 5: .* other options than that of line 4",
        ),
        (
            ["RUN pip install b", "RUN pip install -r extra.txt"],
            "line 5: .* other options than that of line 4",
        ),
        (
            ["RUN pip install -c kept.txt b", "RUN pip install a"],
            "line 5: .* other constraints than that of line 4",
        ),
        (
            ["RUN pip install a", "RUN pip install -c kept.txt b"],
            "line 5: .* other constraints than that of line 4",
        ),
        (
            ["RUN pip install old", "RUN pip install a==2.0"],
            "line 5: .* may not fit together",
        ),
    ],
)
def test_calls_of_pip_that_a_tool_has_to_do(follow: Follow, lines: list[str], why: str) -> None:
    with pytest.raises(NeedsTool, match=why):
        follow(*lines)


def test_one_call_that_fails_is_told_as_it_is(follow: Follow) -> None:
    with pytest.raises(ImageBuildException, match="can't be installed"):
        follow("RUN pip install old a==2.0")


def test_paths_are_others_in_the_image(follow: Follow) -> None:
    with pytest.raises(ImageBuildException, match=r"\./mine is a path"):
        follow("RUN pip install -r path.txt")


def test_instructions_of_the_base_need_a_tool(follow: Follow) -> None:
    with pytest.raises(NeedsTool, match=r"line 1: FROM a: own\.example/base has .*ONBUILD"):
        follow(OnBuild=["RUN true"])
