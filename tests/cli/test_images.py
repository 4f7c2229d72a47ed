"""``kaptain image``: against a real registry; what is pushed is judged by skopeo."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp import Config, Model
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.faulty_proxy import proxy_to
from kaptain_kfp.testing.registry import RegistryServer, serve_registry

from ..commands import call, told
from ..needs import need_registry


@pytest.fixture(scope="module")
def registry(registry: RegistryServer) -> RegistryServer:
    """With a base image, and one that doesn't say which Python it has."""
    with RegistryClient() as client:
        push_base_image(client, f"{registry.host}/base:1", {"PYTHON_VERSION": "3.11"})
        push_base_image(client, f"{registry.host}/unknown:1")
    return registry


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "train.py").write_text("print('training')\n", encoding="utf-8")
    (project / "src" / "net.py").write_text("LAYERS = 3\n", encoding="utf-8")
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("KAPTAIN_HOME", str(tmp_path / "home"))
    return project


@pytest.fixture
def words(registry: RegistryServer, project: Path, request: pytest.FixtureRequest) -> list[str]:
    name = f"{registry.host}/team/{request.node.originalname.replace('_', '-')}"
    return ["image", "build", "train.py", "-n", name, "-b", f"{registry.host}/base:1"]


def test_what_is_built_is_in_the_registry(words: list[str], skopeo: Callable[..., Any]) -> None:
    result = call(*words, "-f", "src")
    name = words[4]
    reference = result.stdout.strip()
    repository = name.partition("/")[2].replace("/", "-")
    image = skopeo(f"{name}:{repository}-sklearn-latest")
    assert reference == f"{name}@{image['Digest']}"
    assert "Layer with training code in /kaptain" in result.stderr
    again = told(*words, "-f", "src", "--json")
    assert (again["built"], again["reference"]) == (False, reference)


def test_bytes_that_are_sent_are_told_of(words: list[str], project: Path) -> None:
    (project / "src" / "noise.bin").write_bytes(os.urandom(2 << 20))
    said = call(*words, "-f", "src").stderr
    assert re.search(r"^sha256:\w{12}: (2,\d{3},\d{3}) of \1 bytes are sent\.$", said, re.M)
    assert "bytes are sent" not in call(*words, "-f", "src").stderr


def test_a_model_finds_it_and_puts_its_own_labels_on(
    words: list[str], project: Path, registry: RegistryServer, skopeo: Callable[..., Any]
) -> None:
    words = [*words, "-f", "src", "--framework", "pytorch", "--framework-version", "2.4"]
    made = told(*words, "--json")
    with proxy_to(registry.endpoint) as proxy:
        model = Model(
            id=words[4].partition("/")[2],
            name="Digits",
            description="What the test builds",
            version="1.0",
            framework="pytorch",
            framework_version="2.4",
            main_file="train.py",
            image_name=words[4].replace(registry.host, proxy.url.removeprefix("http://")),
            base_image=words[6],
            extra_files=["src"],
            config=Config.local(base_dir=project),
        )
        assert model.build(publish=True) is True
        pushed = [request.path for request in proxy.requests if request.method == "PUT"]
        # the configuration, and the manifest
        assert len(pushed) == 2
        proxy.requests.clear()
        assert model.build(publish=True) is True
        assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
    before, after = skopeo(made["reference"]), skopeo(made["name"])
    assert after["Layers"] == before["Layers"]
    assert after["Labels"]["org.opencontainers.image.version"] == "1.0"
    assert after["Labels"]["checksum"] == before["Labels"]["checksum"] == made["checksum"]


def test_it_is_built_for_the_platform_and_packed_as_asked(
    words: list[str], registry: RegistryServer, skopeo: Callable[..., Any]
) -> None:
    reference = call(*words, "--zstd").stdout.strip()
    kinds = [layer["mediaType"] for layer in skopeo(reference, "--raw")["layers"]]
    assert [kind.rpartition("+")[2] for kind in kinds] == ["gzip", "zstd", "zstd"]
    missing = call(*words, "--platform", "linux/arm64", code=1)
    assert "linux/arm64" in missing.stderr


def test_the_python_of_a_base_can_be_told(
    words: list[str], registry: RegistryServer, project: Path
) -> None:
    (project / "requirements.txt").write_text("six\ncolorama\n", encoding="utf-8")
    words = [*words[:6], f"{registry.host}/unknown:1", "-r", "requirements.txt"]
    unknown = call(*words, code=1)
    assert "doesn't say which Python" in unknown.stderr
    built = call(*words, "--python-version", "3.11", "--exclude", "colorama")
    (installed,) = [x for x in built.stderr.splitlines() if x.startswith("Successfully installed")]
    assert "six-" in installed and "colorama-" not in installed
    contents = told("image", "layers", built.stdout.strip(), "--json")
    assert [layer["origin"] for layer in contents] == ["base", "new", "new", "new"]
    assert any(layer["content"].startswith("requirements in") for layer in contents)


def test_an_image_is_looked_into(
    words: list[str], registry: RegistryServer, skopeo: Callable[..., Any]
) -> None:
    reference = call(*words).stdout.strip()
    facts = told("image", "inspect", reference, "--json")
    seen, config = skopeo(reference), skopeo(reference, "--config")
    assert facts["digest"] == seen["Digest"]
    assert facts["labels"] == seen["Labels"]
    assert facts["platform"] == "linux/amd64"
    assert facts["entrypoint"] == config["config"]["Entrypoint"] == ["python", "-u", "train.py"]
    base = skopeo(words[6])
    assert facts["base"] == f"{words[6]}@{base['Digest']}"
    assert "Entrypoint:  python, -u, train.py" in call("image", "inspect", reference).stdout
    contents = told("image", "layers", reference, "--json")
    assert [layer["digest"] for layer in contents] == seen["Layers"]
    assert [layer["origin"] for layer in contents] == ["base", "new", "new"]
    assert contents[-1]["content"] == "training code in /kaptain"
    assert facts["size"] == sum(layer["size"] for layer in contents)
    table = call("image", "layers", reference).stdout.splitlines()
    assert table[0].split() == ["DIGEST", "SIZE", "FROM", "CONTENT"]
    assert len(table) == 4


def test_of_a_foreign_image_the_base_is_unknown(registry: RegistryServer, project: Path) -> None:
    (layer,) = told("image", "layers", f"{registry.host}/base:1", "--json")
    assert (layer["origin"], layer["content"]) == ("unknown", "a file")
    assert told("image", "inspect", f"{registry.host}/base:1", "--json")["base"] is None


def test_errors_are_said_in_words(registry: RegistryServer, project: Path) -> None:
    gone = call("image", "inspect", f"{registry.host}/team/gone:1", code=1)
    assert gone.stderr.startswith("Error: ") and "team/gone:1" in gone.stderr
    wrong = call("image", "layers", f"{registry.host}/base:1", "--platform", "arm", code=1)
    assert "platform: 'arm'" in wrong.stderr
    lost = call("image", "build", "lost.py", "-n", "a/b", "-b", "python", code=1)
    assert "main_file: 'lost.py'" in lost.stderr


def test_a_login_comes_from_the_file_that_is_named(tmp_path: Path, project: Path) -> None:
    need_registry("skopeo")
    with serve_registry(tmp_path / "closed", htpasswd={"ann": "secret"}) as server:
        name = f"{server.host}/team/x:1"
        refused = call("image", "inspect", name, code=1)
        assert server.host in refused.stderr and "secret" not in refused.output
        config = tmp_path / "config.json"
        login = {"username": "ann", "password": "secret"}
        config.write_text(json.dumps({"auths": {server.host: login}}), encoding="utf-8")
        missing = call("image", "inspect", name, "--docker-config", str(config), code=1)
        assert "team/x:1" in missing.stderr and "secret" not in missing.output
        assert missing.stderr != refused.stderr
