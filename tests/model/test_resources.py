from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.model.resources import Resources
from kaptain_kfp.specs import ResourcesSpec

FIELDS = (
    "cpu_request",
    "cpu_limit",
    "memory_request",
    "memory_limit",
    "gpu_request",
    "gpu_limit",
)


def test_nothing_is_set_by_default() -> None:
    assert [getattr(Resources(), name) for name in FIELDS] == [None] * 6
    assert Resources().to_spec() == ResourcesSpec()
    assert Resources.simple() == Resources()


def test_positions() -> None:
    resources = Resources(1, "2", "1G", "2G", 1, 1)
    assert [getattr(resources, name) for name in FIELDS] == ["1", "2", "1G", "2G", "1", "1"]
    assert resources.to_spec() == ResourcesSpec(
        cpu_request="1",
        cpu_limit="2",
        memory_request="1G",
        memory_limit="2G",
        gpu_request="1",
        gpu_limit="1",
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"cpu_request": 1, "memory_limit": "2G", "gpu_limit": 0}, ("1", "2G", "0")),
        ({"cpu_request": 0.5, "memory_limit": "512Mi"}, ("0.5", "512Mi", None)),
        ({"cpu_request": "500m", "memory_limit": 2**30}, ("500m", "1073741824", None)),
        ({"gpu_limit": "2"}, (None, None, "2")),
        ({"gpu_limit": 2.0}, (None, None, "2")),
        ({"gpu_limit": "1e1"}, (None, None, "10")),
    ],
)
def test_values_become_text(arguments: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    resources = Resources(**arguments)
    assert (resources.cpu_request, resources.memory_limit, resources.gpu_limit) == expected


def test_simple_sets_request_and_limit() -> None:
    resources = Resources.simple(cpu=1, memory="2G", gpus=1)
    assert resources == Resources("1", "1", "2G", "2G", "1", "1")


def test_a_request_for_gpus_brings_its_limit() -> None:
    spec = Resources(gpu_request=2).to_spec()
    assert (spec.gpu_request, spec.gpu_limit) == ("2", "2")


@pytest.mark.parametrize(
    "arguments",
    [
        {"cpu_request": "500m", "cpu_limit": 0.5},
        {"memory_request": "1G", "memory_limit": "1Gi"},
        {"memory_request": "1024Mi", "memory_limit": "1Gi"},
        {"gpu_request": 1, "gpu_limit": "1"},
        {"cpu_request": 0, "memory_request": 0, "gpu_limit": 0},
    ],
)
def test_pairs_that_fit(arguments: dict[str, Any]) -> None:
    spec = Resources(**arguments).to_spec()
    assert set(arguments) <= set(spec.dump())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cpu_request": "1,5"}, ("cpu_request='1,5'", "0.5")),
        ({"cpu_limit": True}, ("cpu_limit=True",)),
        ({"cpu_limit": -1}, ("cpu_limit=-1",)),
        ({"memory_request": "2Gb"}, ("memory_request='2Gb'", "2Gi")),
        ({"memory_limit": "512m"}, ("memory_limit='512m'", "512M", "512Mi")),
        ({"gpu_request": 0.5}, ("gpu_request=0.5", "whole")),
        ({"gpu_limit": "500m"}, ("gpu_limit='500m'", "whole")),
        ({"gpu_limit": -1}, ("gpu_limit=-1",)),
        ({"gpu_limit": "all"}, ("gpu_limit='all'",)),
        ({"cpu_request": 2, "cpu_limit": "1500m"}, ("cpu_request='2'", "cpu_limit='1500m'")),
        (
            {"memory_request": "1Gi", "memory_limit": "1G"},
            ("memory_request='1Gi'", "memory_limit='1G'"),
        ),
        ({"gpu_request": 1, "gpu_limit": 2}, ("gpu_request='1'", "gpu_limit='2'")),
    ],
)
def test_refuses(arguments: dict[str, Any], says: tuple[str, ...]) -> None:
    with pytest.raises(ModelValidationException) as caught:
        Resources(**arguments)
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"cpu": "a lot"}, "cpu='a lot'"),
        ({"memory": "2GB"}, "memory='2GB'"),
        ({"gpus": 1.5}, "gpus=1.5"),
    ],
)
def test_simple_names_its_own_parameters(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelValidationException) as caught:
        Resources.simple(**arguments)
    assert str(caught.value).startswith(says)


def test_is_a_value() -> None:
    assert Resources(cpu_limit=1) == Resources(cpu_limit="1")
    assert len({Resources(cpu_limit=1), Resources(cpu_limit=1), Resources(cpu_limit=2)}) == 2
    assert repr(Resources(cpu_limit=1)).startswith("Resources(cpu_request=None, cpu_limit='1', ")
    with pytest.raises(FrozenInstanceError):
        Resources().cpu_limit = "1"  # type: ignore[misc]
