from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.local.images import clone, image_file, name_file, resolve

DIGEST = "ab" * 32


def put_image(home: Path, **changes: object) -> Path:
    """Writes an image that is known as ``me/x:1``; returns its folder."""
    card = {
        "digest": DIGEST,
        "checksum": "cd" * 16,
        "interpreter": {"executable": sys.executable},
        "venv": False,
        "main_file": "train.py",
        **changes,
    }
    for file, content in ((image_file(home, DIGEST), card), (name_file(home, "me/x:1"), card)):
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content))
    return image_file(home, DIGEST).parent


@pytest.mark.parametrize("reference", ["me/x:1", f"me/x@sha256:{DIGEST}"])
def test_an_image_is_found_by_name_and_by_digest(tmp_path: Path, reference: str) -> None:
    folder = put_image(tmp_path)
    image = resolve(tmp_path, reference)
    assert (image.digest, image.code) == (DIGEST, folder / "code")
    assert image.entrypoint == (sys.executable, "-u", "train.py")
    first = image.environment["PATH"].split(os.pathsep)[0]
    assert Path(first) == Path(sys.executable).parent


@pytest.mark.parametrize(
    "reference",
    [
        "me/y",
        "me/x",
        "",
        "me/x@sha256:",
        f"me/x@sha256:{DIGEST[:32]}",
        f"me/x@sha256:{DIGEST[:-1]}0",
        "me/x@sha256:../../secret",
    ],
)
def test_what_was_not_built_is_refused(tmp_path: Path, reference: str) -> None:
    put_image(tmp_path)
    with pytest.raises(ImageBuildException, match="was not built here") as caught:
        resolve(tmp_path, reference)
    assert caught.value.reason == "ImageNotBuilt"
    assert "build()" in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_image_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (put_image(tmp_path) / "image.json").write_text(content)
    with pytest.raises(ImageBuildException, match="was not built here"):
        resolve(tmp_path, "me/x:1")


@pytest.mark.parametrize("venv", [True, False])
def test_an_interpreter_that_is_gone_is_named(tmp_path: Path, venv: bool) -> None:
    put_image(tmp_path, venv=venv, interpreter={"executable": str(tmp_path / "python")})
    with pytest.raises(ImageBuildException, match=str(tmp_path)) as caught:
        resolve(tmp_path, "me/x:1")
    assert caught.value.reason == "InterpreterGone"


def test_a_clone_is_a_copy_of_its_own(tmp_path: Path) -> None:
    code, pod = tmp_path / "code", tmp_path / "pod"
    (code / "src" / "empty").mkdir(parents=True)
    (code / "run.sh").write_text("#!/bin/sh\n")
    (code / "run.sh").chmod(0o755)
    (code / "src" / "data").write_bytes(b"x" * 100_000)
    (code / "src" / "link").symlink_to("data")
    pod.mkdir()
    (pod / "there").write_text("before")
    clone(code, pod)
    assert {p.relative_to(pod).as_posix() for p in pod.rglob("*")} == {
        "there",
        "run.sh",
        "src",
        "src/empty",
        "src/data",
        "src/link",
    }
    assert (pod / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (pod / "src" / "link").is_symlink()
    (pod / "src" / "data").write_bytes(b"changed")
    assert (code / "src" / "data").read_bytes() == b"x" * 100_000


def test_it_needs_the_standard_library_only() -> None:
    code = (
        "import sys, kaptain_kfp.local.images\n"
        "print([name for name in ('pydantic', 'kfp', 'boto3') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
