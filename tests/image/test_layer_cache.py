from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.layer_cache import KeptLayer, LayerCache
from kaptain_kfp.image.layers.packing import Compression
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan
from kaptain_kfp.image.oci import Family, sha256_digest


class Maker:
    """Makes a layer, and counts how often."""

    def __init__(self, content: bytes = b"x = 1") -> None:
        self.content = content
        self.count = 0

    def __call__(self, thrown: Path) -> LayerPlan:
        self.count += 1
        assert not list(thrown.iterdir())
        (thrown / "noise").write_text("thrown")
        return LayerPlan("test", (LayerEntry("opt/x.py", 0o644, self.content),))


@pytest.fixture
def cache(tmp_path: Path) -> LayerCache:
    return LayerCache(tmp_path / "cache")


def folders(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


def test_a_layer_is_made_once(cache: LayerCache, tmp_path: Path) -> None:
    make = Maker()
    first, second = cache.layer("a", make), cache.layer("a", make)
    assert (first, make.count) == (second, 1)
    assert sha256_digest(first.blob.read_bytes()) == first.layer.descriptor.digest
    assert folders(tmp_path) == ["a-gzip"]
    assert not list(first.blob.parent.rglob("noise"))


def test_other_keys_and_packings_are_other_layers(cache: LayerCache) -> None:
    make = Maker()
    first = cache.layer("a", make)
    assert cache.layer("b", make).blob != first.blob
    packed = cache.layer("a", make, compression=Compression.ZSTD)
    assert packed.layer.diff_id == first.layer.diff_id
    assert packed.layer.descriptor.digest != first.layer.descriptor.digest
    assert make.count == 3


def test_it_fits_images_of_both_families(cache: LayerCache) -> None:
    kept = cache.layer("a", Maker())
    for family in Family:
        assert kept.of(family).descriptor.media_type == family.layer
    with pytest.raises(ImageBuildException, match="zstd"):
        cache.layer("a", Maker(), compression=Compression.ZSTD).of(Family.DOCKER)


@pytest.mark.parametrize(
    "damage", ["blob shorter", "blob gone", "card cut", "card of another kind"]
)
def test_a_damaged_layer_is_made_anew(cache: LayerCache, damage: str) -> None:
    make = Maker()
    kept = cache.layer("a", make)
    if damage == "blob shorter":
        kept.blob.write_bytes(kept.blob.read_bytes()[:-1])
    elif damage == "blob gone":
        kept.blob.unlink()
    else:
        card = (kept.blob.with_name("layer.json")).read_bytes()
        (kept.blob.with_name("layer.json")).write_bytes(card[:-5] if "cut" in damage else b"[1]")
    assert cache.layer("a", make) == kept
    assert make.count == 2


def test_what_cannot_be_made_leaves_nothing(cache: LayerCache, tmp_path: Path) -> None:
    def fail(_: Path) -> LayerPlan:
        raise ImageBuildException("no such requirement")

    with pytest.raises(ImageBuildException, match="no such requirement"):
        cache.layer("a", fail)
    assert folders(tmp_path) == []


def test_the_faster_one_of_two_wins(cache: LayerCache) -> None:
    inner: list[KeptLayer] = []

    def slow(thrown: Path) -> LayerPlan:
        inner.append(cache.layer("a", Maker()))
        return Maker()(thrown)

    assert cache.layer("a", slow) == inner[0]


def test_what_nobody_asks_for_goes(cache: LayerCache, tmp_path: Path) -> None:
    for key in ("old", "used"):
        cache.layer(key, Maker())
        long_ago = time.time() - 31 * 24 * 3600
        os.utime(tmp_path / "cache" / f"{key}-gzip", (long_ago, long_ago))
    cache.layer("used", Maker())
    cache.layer("new", Maker())
    assert folders(tmp_path) == ["new-gzip", "used-gzip"]


def test_a_cache_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageBuildException, match="Layers can't be kept in") as caught:
        LayerCache(tmp_path / "file" / "cache").layer("a", Maker())
    assert caught.value.reason == "CacheUnusable"
