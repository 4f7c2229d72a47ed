from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.exceptions import ImageNotFoundError
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.registry.names import image_reference
from kaptain_kfp.image.registry.platforms import check_platform, choose_platform

REF = image_reference("own.example/base:1")


def entry(number: int, platform: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    digest = f"sha256:{number:064x}"
    described = {"platform": platform} if platform else {}
    return {"mediaType": "m", "digest": digest, "size": 1, **described, **more}


INDEX = {
    "manifests": [
        entry(0, {"os": "unknown", "architecture": "unknown"}),
        entry(
            *(1, {"os": "linux", "architecture": "amd64"}),
            annotations={"vnd.docker.reference.type": "attestation-manifest"},
        ),
        entry(2, None),
        entry(3, {"os": "windows", "architecture": "amd64", "os.version": "10"}),
        entry(4, {"os": "linux", "architecture": "amd64"}),
        entry(5, {"os": "linux", "architecture": "arm", "variant": "v6"}),
        entry(6, {"os": "linux", "architecture": "arm", "variant": "v7"}),
    ]
}


@pytest.mark.parametrize(
    ("wanted", "number"),
    [("linux/amd64", 4), ("linux/arm/v7", 6), ("linux/arm", 5), ("windows/amd64", 3)],
)
def test_chooses_from_an_index(wanted: str, number: int) -> None:
    chosen = choose_platform(REF, INDEX, Platform.parse(wanted))
    assert chosen.digest == f"sha256:{number:064x}"


def test_names_what_there_is() -> None:
    there = "windows/amd64, linux/amd64, linux/arm/v6, linux/arm/v7"
    with pytest.raises(ImageNotFoundError, match=f"isn't there for linux/s390x, only for {there}"):
        choose_platform(REF, INDEX, Platform("linux", "s390x"))
    with pytest.raises(ImageNotFoundError, match="only for no platform"):
        choose_platform(REF, {}, Platform())


def test_compares_what_a_configuration_says() -> None:
    check_platform(REF, Platform("linux", "arm64"), Platform("linux", "arm64", "v8"))
    with pytest.raises(
        ImageNotFoundError, match="isn't there for linux/amd64, only for linux/arm64"
    ):
        check_platform(REF, Platform("linux", "arm64"), Platform())
