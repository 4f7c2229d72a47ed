from __future__ import annotations

import json

import pytest

from kaptain_kfp.image.oci import (
    MANIFEST_TYPES,
    Descriptor,
    Family,
    Manifest,
    Platform,
    canonical_json,
    sha256_digest,
)

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize("family", list(Family))
def test_families(family: Family) -> None:
    assert Family.of(family.manifest) is Family.of(family.index) is family
    assert {family.manifest, family.index} <= set(MANIFEST_TYPES)
    with pytest.raises(ValueError, match="neither a manifest nor an index"):
        Family.of(family.config)


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7"])
def test_platforms(text: str) -> None:
    assert str(Platform.parse(text)) == text


@pytest.mark.parametrize("text", ["linux", "", "linux/", "linux/arm/v7/x", "/amd64"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(ValueError, match="isn't os/architecture"):
        Platform.parse(text)


def test_a_variant_counts_only_where_one_is_wanted() -> None:
    there = Platform("linux", "arm", "v7")
    assert there.fits(Platform("linux", "arm"))
    assert there.fits(there)
    assert not there.fits(Platform("linux", "arm", "v6"))
    assert not Platform("linux", "arm").fits(there)
    assert not there.fits(Platform("linux", "arm64"))


@pytest.mark.parametrize("family", list(Family))
def test_a_manifest_is_read_as_it_was_written(family: Family) -> None:
    manifest = Manifest(
        family,
        Descriptor(family.config, DIGEST, 1),
        (Descriptor(family.layer, DIGEST, 2, urls=("https://a.example",)),),
        annotations=(("b", "ü"), ("a", "1")),
    )
    content = manifest.to_bytes()
    again = Manifest.from_json(json.loads(content), family.manifest)
    assert again.to_bytes() == content
    assert again.layers == manifest.layers
    assert json.loads(content)["mediaType"] == family.manifest


def test_json_depends_on_the_content_only() -> None:
    assert canonical_json({"b": "ü", "a": [1]}) == '{"a":[1],"b":"ü"}'.encode()


def test_digests() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_digest(b"") == f"sha256:{empty}"
