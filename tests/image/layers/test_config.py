from __future__ import annotations

import copy
from typing import Any

import pytest

from kaptain_kfp.exceptions import ConfigurationError, ImageBuildException
from kaptain_kfp.image.layers.config import (
    ImageFacts,
    creation_time,
    environment_of,
    image_config,
)
from kaptain_kfp.image.layers.tar import Layer
from kaptain_kfp.image.oci import Descriptor

from .conftest import LABELS

FACTS = ImageFacts(
    main_file="src/train.py",
    checksum="0" * 32,
    labels=LABELS,
    base_name="python:3.11-slim",
    base_digest=f"sha256:{'b' * 64}",
)
WHEN = "2024-05-06T07:08:09Z"
BASE: dict[str, Any] = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "created": WHEN,
    "container": "f00",
    "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop)"]},
    "docker_version": "20.10.7",
    "config": {
        "User": "1001:0",
        "ExposedPorts": {"8888/tcp": {}},
        "Env": ["PATH=/opt/conda/bin:/usr/bin", "PYTHON_VERSION=3.11.9", "HOME=/root", "X=a=b"],
        "Entrypoint": ["tini", "--"],
        "Cmd": ["jupyter", "lab"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/home/jovyan",
        "Labels": {"maintainer": "them", "checksum": "old"},
        "StopSignal": "SIGINT",
        "Shell": ["/bin/bash"],
        "ArgsEscaped": True,
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2"]},
    "history": [
        {"created": WHEN, "created_by": "ADD root"},
        {"created": WHEN, "created_by": "ENV X", "empty_layer": True},
        {"created": WHEN, "created_by": "RUN install"},
    ],
}


def layer(name: str) -> Layer:
    return Layer(Descriptor("type", f"sha256:blob-{name}", 1), f"sha256:{name}", 10240, name)


def made(base: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    layers = [layer("requirements"), layer("code")]
    return image_config(base or BASE, layers, FACTS, created=WHEN, **options)


def test_the_base_is_kept_but_for_what_is_run() -> None:
    before = copy.deepcopy(BASE)
    config = made()
    assert before == BASE
    assert (config["architecture"], config["variant"], config["os"]) == ("arm64", "v8", "linux")
    run = config["config"]
    for name in ("User", "ExposedPorts", "Volumes", "StopSignal", "Shell"):
        assert run[name] == BASE["config"][name]
    assert run["Entrypoint"] == ["python", "-u", "src/train.py"]
    assert run["Cmd"] == []
    assert run["WorkingDir"] == "/kaptain"
    assert not {"container", "container_config", "docker_version"} & set(config)
    assert "ArgsEscaped" not in run


def test_variables() -> None:
    assert environment_of(made(environment={"MODE": "x=y"})) == {
        "PATH": "/opt/conda/bin:/usr/bin",
        "PYTHON_VERSION": "3.11.9",
        "HOME": "/tmp",
        "X": "a=b",
        "PYTHONPATH": "/opt/kaptain/helpers:/opt/kaptain/code-packages:/opt/kaptain/site-packages",
        "MODE": "x=y",
    }


def test_the_base_keeps_its_python_path_behind_ours() -> None:
    base = copy.deepcopy(BASE)
    base["config"]["Env"].append("PYTHONPATH=/their/lib")
    once = made(base)
    path = environment_of(once)["PYTHONPATH"]
    assert path.split(":")[-1] == "/their/lib"
    assert path.split(":")[0] == "/opt/kaptain/helpers"
    assert environment_of(made(once))["PYTHONPATH"] == path


def test_labels() -> None:
    assert made()["config"]["Labels"] == {
        "maintainer": "them",
        "checksum": "0" * 32,
        "kaptain-kfp/model-id": "dev/mnist",
        "kaptain-kfp/framework": "sklearn",
        "kaptain-kfp/framework-version": "1.5.0",
        "org.opencontainers.image.title": "mnist",
        "org.opencontainers.image.version": "0.0.1",
        "org.opencontainers.image.created": WHEN,
        "org.opencontainers.image.base.name": "python:3.11-slim",
        "org.opencontainers.image.base.digest": f"sha256:{'b' * 64}",
    }


@pytest.mark.parametrize("history", [BASE["history"], None, [], BASE["history"][:1]])
def test_history_and_layers_match(history: list[Any] | None) -> None:
    config = made({**BASE, "history": history})
    assert config["rootfs"]["diff_ids"] == [
        *("sha256:1", "sha256:2"),
        *("sha256:requirements", "sha256:code"),
    ]
    layers = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert len(layers) == 4
    assert [entry["created_by"] for entry in layers[2:]] == ["requirements", "code"]
    assert config["history"][-1]["empty_layer"]
    assert {entry["created"] for entry in config["history"]} == {WHEN}


def test_a_base_that_says_next_to_nothing() -> None:
    config = made({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": []}})
    assert environment_of(config)["PATH"].endswith(":/usr/bin:/sbin:/bin")
    assert len(config["history"]) == 3
    assert config["config"]["Cmd"] == []


def test_a_script_that_looks_like_an_option() -> None:
    facts = ImageFacts(**{**vars(FACTS), "main_file": "-m.py"})
    config = image_config(BASE, [], facts, created=WHEN)
    assert config["config"]["Entrypoint"] == ["python", "-u", "./-m.py"]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({**BASE, "os": "windows"}, "'python:3.11-slim' is an image for windows"),
        ({**BASE, "rootfs": None}, "doesn't name its layers"),
        ({"mediaType": "application/vnd.cncf.helm.config.v1+json"}, "doesn't name its layers"),
    ],
)
def test_what_cannot_be_built_on(base: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageBuildException, match=message) as caught:
        made(base)
    assert caught.value.reason == "UnsupportedBaseImage"


def test_the_time_comes_from_the_content_or_is_given() -> None:
    assert creation_time(BASE, {}) == WHEN
    assert creation_time({}, {}) == "1980-01-02T00:00:00Z"
    assert creation_time(BASE, {"SOURCE_DATE_EPOCH": "86400"}) == "1970-01-02T00:00:00Z"
    assert creation_time(BASE, {"SOURCE_DATE_EPOCH": " "}) == WHEN


@pytest.mark.parametrize("epoch", ["today", "-1", "1.5", "9" * 30, "١٢"])
def test_a_time_that_is_none_is_refused(epoch: str) -> None:
    with pytest.raises(ConfigurationError, match="SOURCE_DATE_EPOCH"):
        creation_time(BASE, {"SOURCE_DATE_EPOCH": epoch})
