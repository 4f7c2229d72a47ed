"""Images from Dockerfiles in a real registry, judged by skopeo and umoci."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ImageBuildException, ModelValidationException
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.platform.image_builder_util import ImageBuilder, ImageBuilderUtil
from kaptain_kfp.testing.base_image import push_base_image
from kaptain_kfp.testing.faulty_proxy import FaultyProxy
from kaptain_kfp.testing.registry import RegistryServer

from ..needs import need_programs

HEAD = """
ARG VERSION=1
FROM {host}/base:1
"""
DOCKERFILE = (
    HEAD
    + """
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY app.py src ./
ENV GREETING="hello $KNOWN" PYTHONPATH=/app
LABEL checksum=forged who=me
EXPOSE 8080
USER 1000
ENTRYPOINT ["python", "app.py"]
CMD ["--quick"]
"""
)


@pytest.fixture(scope="module")
def registry(registry: RegistryServer) -> RegistryServer:
    """With a base image."""
    with RegistryClient() as client:
        environment = {"PYTHON_VERSION": "3.11", "KNOWN": "you"}
        push_base_image(client, f"{registry.host}/base:1", environment)
    return registry


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "app.py").write_text("print('app')\n", encoding="utf-8")
    (project / "src" / "net.py").write_text("LAYERS = 3\n", encoding="utf-8")
    (project / "requirements.txt").write_text("six==1.16.0\n", encoding="utf-8")
    return project


FILES = ["app.py", "requirements.txt", "src"]


def builder(project: Path, host: str, dockerfile: str, files: list[str] | None) -> ImageBuilder:
    return ImageBuilderUtil.builder(
        image_name=f"{host}/team/app:1",
        dockerfile_content=dockerfile.replace("{host}", host),
        files=files,
        config=Config.local(home=project.parent / "home", base_dir=project),
    )


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_layers_are_enough(
    registry: RegistryServer,
    project: Path,
    tmp_path: Path,
    log: pytest.LogCaptureFixture,
    skopeo: Callable[..., Any],
) -> None:
    need_programs("umoci")
    built = builder(project, registry.host, DOCKERFILE, FILES).build_image()
    assert built.built and "layers are enough" in log.text
    told, config = skopeo(built.name), skopeo(built.name, "--config")["config"]
    assert built.reference.endswith(f"@{told['Digest']}")
    assert told["Labels"]["checksum"] == built.checksum
    assert told["Labels"]["who"] == "me"
    assert config["Entrypoint"] == ["python", "app.py"] and config["Cmd"] == ["--quick"]
    assert (config["User"], config["WorkingDir"]) == ("1000", "/app")
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert "GREETING=hello you" in config["Env"]
    path = next(item for item in config["Env"] if item.startswith("PYTHONPATH="))
    assert path.endswith("/opt/kaptain/site-packages:/app")
    layout = tmp_path / "layout"
    source = f"docker://{built.reference}"
    run("skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{layout}:x")
    run("umoci", "unpack", "--rootless", "--image", f"{layout}:x", str(tmp_path / "bundle"))
    root = tmp_path / "bundle" / "rootfs"
    copied = sorted(str(p.relative_to(root)) for p in (root / "app").rglob("*"))
    assert copied == ["app/app.py", "app/net.py", "app/requirements.txt"]
    assert (root / "etc/base").exists()
    six = (root / "opt/kaptain/site-packages/six.py").read_text("utf-8")
    assert '__version__ = "1.16.0"' in six


def test_bytes_that_are_sent_are_told_of(
    registry: RegistryServer, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dockerfile = f"{HEAD}COPY noise.bin /\n"
    for verbose in (True, False):
        (project / "noise.bin").write_bytes(os.urandom(2 << 20))
        builder(project, registry.host, dockerfile, ["noise.bin"]).build_image(verbose)
        said = capsys.readouterr().err
        assert re.search(r"^sha256:\w{12}: (2,\d{3},\d{3}) of \1 bytes are sent\.$", said, re.M)


def test_what_the_base_sets_is_known(
    registry: RegistryServer, project: Path, skopeo: Callable[..., Any]
) -> None:
    built = builder(project, registry.host, f"{HEAD}USER ${{KNOWN}}\n", None).build_image()
    assert skopeo(built.name, "--config")["config"]["User"] == "you"


def test_the_same_again_sends_nothing(project: Path, proxy: FaultyProxy) -> None:
    host = proxy.url.removeprefix("http://")
    first = builder(project, host, DOCKERFILE, FILES).build_image()
    proxy.requests.clear()
    again = builder(project, host, DOCKERFILE, FILES).build_image()
    assert again == first.model_copy(update={"built": False})
    assert {request.method for request in proxy.requests} <= {"GET", "HEAD"}
    assert len(proxy.requests) <= 4
    (project / "src" / "net.py").write_text("LAYERS = 4\n", encoding="utf-8")
    assert builder(project, host, DOCKERFILE, FILES).build_image().built
    changed = DOCKERFILE.replace("who=me", "who=you")
    assert builder(project, host, changed, FILES).build_image().built


def test_folders_of_the_base_stay_as_they_are(
    registry: RegistryServer, project: Path, tmp_path: Path, skopeo: Callable[..., Any]
) -> None:
    (project / "root" / "etc" / "empty").mkdir(parents=True)
    (project / "root" / "etc" / "app.conf").write_text("a=b\n", encoding="utf-8")
    built = builder(project, registry.host, f"{HEAD}COPY root /\n", ["root"]).build_image()
    layer = skopeo(built.reference)["Layers"][-1]
    layout = tmp_path / "layout"
    source = f"docker://{built.reference}"
    run("skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{layout}:x")
    blob = layout / "blobs" / layer.replace(":", "/")
    with tarfile.open(blob) as archive:
        assert archive.getnames() == ["etc/app.conf", "etc/empty"]


def test_without_a_tool_the_line_is_named(
    registry: RegistryServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(project))
    dockerfile = f"{HEAD}RUN apt-get install -y git\n"
    with pytest.raises(ImageBuildException) as caught:
        builder(project, registry.host, dockerfile, None).build_image()
    assert "line 4: RUN apt-get install -y git" in caught.value.message
    assert "one of buildah, podman, docker" in caught.value.message


def test_a_tool_is_taken_where_layers_are_not_enough(
    registry: RegistryServer,
    project: Path,
    log: pytest.LogCaptureFixture,
    buildah: None,
    skopeo: Callable[..., Any],
) -> None:
    dockerfile = f"{HEAD}STOPSIGNAL SIGINT\nCOPY app.py /app/\nLABEL checksum=forged\n"
    built = builder(project, registry.host, dockerfile, FILES).build_image()
    assert built.built and "buildah builds it, for line 4: STOPSIGNAL" in log.text
    told = skopeo(built.reference)
    assert told["Labels"]["checksum"] == built.checksum
    again = builder(project, registry.host, dockerfile, FILES).build_image()
    assert again == built.model_copy(update={"built": False})


def test_what_the_tool_says_is_kept(
    registry: RegistryServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sh = shutil.which("sh")
    assert sh is not None
    tool = project / "podman"
    tool.write_text(f"#!{sh}\necho it is full >&2\nexit 3\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(ImageBuildException, match=r"podman can't build .* ended with 3") as caught:
        builder(project, registry.host, f"{HEAD}RUN true\n", None).build_image()
    assert "it is full" in str(caught.value)


@pytest.mark.parametrize(
    ("dockerfile", "loose"),
    [
        ("FROM {host}/base:1\nRUN true\n", True),
        ("ARG A=base\nFROM {host}/$A AS first\nFROM first\nCOPY --from=first /a /a\n", True),
        ("FROM 127.0.0.1:1/base:1\nRUN true\n", True),
        ("FROM other.example/base:1\nRUN true\n", False),
        ("FROM {host}/base:1\nCOPY --from=other.example/tools:1 /a /a\n", False),
        ("FROM {host}/base:1\nRUN --mount=type=bind,from=other.example/b true\n", False),
        ("ARG A=b.c\nFROM {host}/${A%c}\nFROM b\n", False),
    ],
)
def test_a_tool_checks_the_certificates_of_other_registries(
    registry: RegistryServer,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    dockerfile: str,
    loose: bool,
) -> None:
    build, push = told_to_tool("podman", registry, project, monkeypatch, dockerfile)
    assert ("--tls-verify=false" in build) is loose
    assert "--tls-verify=false" in push


@pytest.mark.parametrize("name", ["buildah", "podman", "docker"])
def test_a_tool_builds_what_is_looked_for(
    registry: RegistryServer, project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    build, push = told_to_tool(name, registry, project, monkeypatch, f"{HEAD}RUN true\n")
    words = build.split()
    assert words[0] == ("bud" if name == "buildah" else "build")
    assert "--platform=linux/amd64" in words
    assert push.startswith("push ") and "--platform" not in push


def test_the_base_is_what_a_tool_is_chosen_by(
    registry: RegistryServer, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerfile = f"{HEAD}RUN pip install six${{KNOWN:+ --user}}\n"
    build, _ = told_to_tool("podman", registry, project, monkeypatch, dockerfile)
    assert build.startswith("build ")


def told_to_tool(
    name: str,
    registry: RegistryServer,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    dockerfile: str,
) -> list[str]:
    """Has a program, which only writes down what it is told, build an image."""
    sh = shutil.which("sh")
    assert sh is not None
    tool = project / name
    tool.write_text(f'#!{sh}\necho "$@" >> {project / "told"}\n', encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(project))
    with pytest.raises(ImageBuildException) as caught:
        builder(project, registry.host, dockerfile, None).build_image()
    assert caught.value.reason == "NotPushed"
    return (project / "told").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_name": "Team/app"}, "image_name: 'Team/app'"),
        ({"image_name": f"a@sha256:{'0' * 64}"}, "has a digest"),
        ({"dockerfile_content": " "}, "dockerfile_content is blank"),
        ({"files": "app.py"}, "files: 'app.py' is text"),
    ],
)
def test_bad_arguments(given: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"image_name": "a/b", "dockerfile_content": "FROM a", **given}
    with pytest.raises(ModelValidationException, match=message):
        ImageBuilderUtil.builder(**arguments, config=Config.local())
