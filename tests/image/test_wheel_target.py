from __future__ import annotations

from typing import Any

import pytest
from packaging.markers import default_environment

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.wheel_target import WheelTarget, wheel_target

AMD64 = Platform("linux", "amd64")


def base(*environment: str, history: str = "") -> dict[str, Any]:
    return {"config": {"Env": list(environment)}, "history": [{"created_by": history}]}


@pytest.mark.parametrize(
    ("said", "version", "minor"),
    [("3.11.9", "3.11.9", "3.11"), ("3.12", "3.12", "3.12"), ("3.13.0rc1", "3.13.0", "3.13")],
)
def test_official_images_say_which_python_they_have(said: str, version: str, minor: str) -> None:
    target = wheel_target(base(f"PYTHON_VERSION={said}"), AMD64)
    assert (target.version, target.minor, target.musl) == (version, minor, False)


def test_the_caller_knows_better() -> None:
    assert wheel_target(base("PYTHON_VERSION=3.11.9"), AMD64, "3.12").version == "3.12"
    assert wheel_target({}, AMD64, "3.12").version == "3.12"


@pytest.mark.parametrize("config", [{}, {"config": None}, base("PATH=/bin")])
def test_who_does_not_say_is_asked(config: dict[str, Any]) -> None:
    with pytest.raises(ImageBuildException, match="doesn't say which Python") as caught:
        wheel_target(config, AMD64)
    assert caught.value.reason == "PythonUnknown"
    assert "python_version" in (caught.value.hint or "")


@pytest.mark.parametrize("said", ["2.7.18", "3", "three", "3.x", "3.11.9.1"])
def test_what_is_no_version_is_named(said: str) -> None:
    with pytest.raises(ImageBuildException, match=f"python_version: '{said}'"):
        wheel_target({}, AMD64, said)
    with pytest.raises(ImageBuildException, match=f"PYTHON_VERSION of the base image: '{said}'"):
        wheel_target(base(f"PYTHON_VERSION={said}"), AMD64)


@pytest.mark.parametrize("platform", [Platform("windows", "amd64"), Platform("linux", "mips64")])
def test_platforms_without_wheels(platform: Platform) -> None:
    with pytest.raises(ImageBuildException, match=str(platform)) as caught:
        wheel_target({}, platform, "3.11")
    assert "amd64" in (caught.value.hint or "")


def test_tags_the_newest_first() -> None:
    tags = wheel_target({}, Platform("linux", "arm64", "v8"), "3.11").platforms
    assert tags[:2] == ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"]
    assert tags[-3:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]
    assert "manylinux_2_5_x86_64" in WheelTarget("3.11", "x86_64").platforms


@pytest.mark.parametrize(
    "history",
    [
        "/bin/sh -c apk add --no-cache ca-certificates",
        "ADD alpine-minirootfs-3.20.0-x86_64.tar.gz / # buildkit",
        "RUN /bin/sh -c set -eux; apk --no-cache add tzdata",
    ],
)
def test_alpine_has_another_c_library(history: str) -> None:
    target = wheel_target(base("PYTHON_VERSION=3.11.9", history=history), AMD64)
    assert target.platforms == ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64"]


def test_markers_are_all_that_there_are() -> None:
    """What was left out would be that of this machine."""
    target = WheelTarget("3.12", "aarch64")
    assert set(target.markers) == set(default_environment())
    assert target.markers["python_full_version"] == "3.12.0"
    assert target.markers["platform_machine"] == "aarch64"
