"""What programs of this machine are told, by one that only writes it down."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kaptain_kfp.image.dockerfile.context import Context
from kaptain_kfp.image.dockerfile.tools import Tool


@pytest.mark.parametrize("login", [None, "{}"])
def test_docker_adds_no_provenance_with_or_without_buildx(
    tmp_path: Path, login: str | None
) -> None:
    sh = shutil.which("sh")
    assert sh is not None
    docker, told = tmp_path / "docker", tmp_path / "told"
    script = f'#!{sh}\necho "$BUILDX_NO_DEFAULT_ATTESTATIONS $@" >> {told}\n'
    docker.write_text(script, encoding="utf-8")
    docker.chmod(0o755)
    context = Context.of(tmp_path, [])
    tool = Tool("docker", str(docker))
    tool.build("own.example/a:1", "FROM b", context, "c", lambda _: None, login=login)
    build, _ = told.read_text("utf-8").splitlines()
    assert build.startswith("1 ") and " build --platform=" in build
    assert "--provenance" not in build
