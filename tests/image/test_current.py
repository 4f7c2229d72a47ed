from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.image.current import platform_of
from kaptain_kfp.image.oci import Descriptor, Family, Manifest, Platform
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.registry.names import image_reference

CONFIG = Descriptor(Family.OCI.config, f"sha256:{1:064x}", 1)


def image(labels: dict[str, str], **platform: str) -> RemoteImage:
    config: dict[str, Any] = {"os": "linux", "config": {"Labels": labels}, **platform}
    ref = image_reference("registry.example/team/digits:1")
    return RemoteImage(ref, CONFIG.digest, Manifest(Family.OCI, CONFIG, ()), config)


@pytest.mark.parametrize(
    ("found", "platform"),
    [
        (None, None),
        (image({}, architecture="arm64"), None),
        (image({"checksum": "c"}, architecture="ppc64le"), Platform("linux", "ppc64le")),
        # of bases for arm64 only some say so
        (image({"checksum": "c"}, architecture="arm64", variant="v8"), Platform("linux", "arm64")),
        (
            image({"checksum": "c"}, architecture="arm", variant="v7"),
            Platform("linux", "arm", "v7"),
        ),
    ],
)
def test_only_of_images_of_ours_the_platform_stays(
    found: RemoteImage | None, platform: Platform | None
) -> None:
    assert platform_of(found) == platform
