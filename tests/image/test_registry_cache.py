"""Layers under keys of their own, in a real registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan
from kaptain_kfp.image.oci import Family, Platform
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.names import ImageReference
from kaptain_kfp.image.registry_cache import find_kept, keep, push_layer
from kaptain_kfp.testing.registry import RegistryServer

from .registry.conftest import client as client
from .registry.conftest import fresh

KEY = "ab" * 32
PLAN = LayerPlan("packages", (LayerEntry("opt/x", 0o644, b"x"),))


@pytest.fixture
def target(registry: RegistryServer) -> ImageReference:
    return fresh(registry.host)


@pytest.mark.parametrize("family", list(Family))
def test_a_layer_is_found_again(
    client: RegistryClient, target: ImageReference, tmp_path: Path, family: Family
) -> None:
    assert find_kept(client, target, KEY, family) is None
    layer, sent = push_layer(client, target, PLAN, family=family, scratch=tmp_path)
    assert sent
    keep(client, target, KEY, layer, family=family, platform=Platform())
    kept = find_kept(client, target, KEY, family)
    assert kept is not None and kept.layer == layer
    assert client.image(kept.image).manifest.layers == (layer.descriptor,)
    others = [other for other in Family if other is not family]
    assert [find_kept(client, target, KEY, other) for other in others] == [None]
    assert find_kept(client, target, "ab" * 20 + "cd" * 12, family) is None, "the same tag"
    assert client.find(target) is None, "the image itself isn't touched"
    assert push_layer(client, target, PLAN, family=family, scratch=tmp_path) == (layer, False)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_that_was_cleaned_up_is_not_found(
    client: RegistryClient, target: ImageReference, tmp_path: Path, registry: RegistryServer
) -> None:
    layer, _ = push_layer(client, target, PLAN, family=Family.OCI, scratch=tmp_path)
    keep(client, target, KEY, layer, family=Family.OCI, platform=Platform())
    digest = layer.descriptor.digest.removeprefix("sha256:")
    place = f"{target.repository}/_layers/sha256/{digest}/link"
    (link,) = registry.folder.rglob(place)
    link.unlink()
    assert find_kept(client, target, KEY, Family.OCI) is None
