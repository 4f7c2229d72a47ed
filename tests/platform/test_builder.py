from __future__ import annotations

from collections.abc import Iterator

import pytest

from kaptain_kfp import envs
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.platform.builder import builder_resources


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CPU_LIMIT", "CPU_REQUEST", "MEM_LIMIT", "MEM_REQUEST"):
        monkeypatch.delenv(f"DOCKER_BUILDER_{name}", raising=False)
    yield
    del envs.DOCKER_BUILDER_MEM_LIMIT


def test_they_are_those_of_the_settings() -> None:
    assert builder_resources().dump() == {
        "cpu_request": "500m",
        "cpu_limit": "1",
        "memory_request": "500M",
        "memory_limit": "1G",
    }
    envs.DOCKER_BUILDER_MEM_LIMIT = "8Gi"
    assert builder_resources().memory_limit == "8Gi"


def test_what_is_no_quantity_is_named() -> None:
    envs.DOCKER_BUILDER_MEM_LIMIT = "much"
    with pytest.raises(ModelValidationException, match=r"envs\.DOCKER_BUILDER_MEM_LIMIT='much'"):
        builder_resources()
