from __future__ import annotations

import pytest

from kaptain_kfp.exceptions import ConfigurationError, ModelValidationException
from kaptain_kfp.image.registry.names import (
    HUB,
    image_reference,
    is_loopback,
    is_plain_url,
    normal_registry,
    registry_of,
)

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("name", "url", "registry", "repository"),
    [
        ("python", None, HUB, "library/python"),
        ("team/mnist", None, HUB, "team/mnist"),
        ("docker.io/python", "https://own.example", HUB, "library/python"),
        ("index.docker.io/team/mnist", None, HUB, "team/mnist"),
        ("mnist", "https://own.example:5000", "own.example:5000", "mnist"),
        ("mnist", "own.example/v2/", "own.example", "mnist"),
        ("mnist", "https://index.docker.io/v1/", HUB, "library/mnist"),
        ("Own.example/mnist", "https://other.example", "own.example", "mnist"),
        ("localhost/mnist", None, "localhost", "mnist"),
        ("[::1]:5000/a/b", None, "[::1]:5000", "a/b"),
    ],
)
def test_a_name_means_a_registry(
    name: str, url: str | None, registry: str, repository: str
) -> None:
    ref = image_reference(f"{name}:1", url)
    assert (ref.registry, ref.repository, ref.tag) == (registry, repository, "1")
    assert registry_of(name, url) == registry


def test_the_hub_has_its_api_elsewhere() -> None:
    assert image_reference("python").host == "registry-1.docker.io"
    assert image_reference("own.example/python").host == "own.example"


def test_a_digest_wins_over_the_tag() -> None:
    ref = image_reference(f"host:5000/a/b:tag@{DIGEST}")
    assert (str(ref), ref.selector) == (f"host:5000/a/b:tag@{DIGEST}", DIGEST)
    assert image_reference("a").selector == "latest"
    assert str(image_reference("host:5000/a/b:tag").at(DIGEST)) == f"host:5000/a/b@{DIGEST}"


@pytest.mark.parametrize("name", ["a:-tag", "host:5000/A", "a@sha256:1", "a:tag:tag", ""])
def test_a_name_that_is_not_allowed(name: str) -> None:
    with pytest.raises(ModelValidationException, match=r"base_image.*isn't a valid image name"):
        image_reference(name, field="base_image")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://own.example/team", "has the path '/team', which belongs into image_name"),
        ("https://user:secret@own.example", "names no registry"),
        ("ftp://own.example", "names no registry"),
        ("https://own.example:port", "isn't a URL"),
        (" ", "names no registry"),
    ],
)
def test_a_url_that_is_no_registry(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        normal_registry(url)
    assert "secret" not in str(caught.value)
    assert "https://registry.example:5000" in str(caught.value.hint)


def test_plain_http_is_asked_for_by_the_url() -> None:
    assert is_plain_url("http://own.example")
    assert not is_plain_url("https://own.example")
    assert not is_plain_url("own.example")


@pytest.mark.parametrize(
    ("registry", "here"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        (HUB, False),
    ],
)
def test_this_machine(registry: str, here: bool) -> None:
    assert is_loopback(registry) is here
