from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kaptain_kfp.exceptions import ImageBuildException, ModelValidationException
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.paths import SITE_PACKAGES

ROOT = SITE_PACKAGES.lstrip("/")


@pytest.fixture
def wheel(tmp_path: Path, make_wheel: Callable[..., Path]) -> Path:
    """A package with a console script."""
    return make_wheel(
        tmp_path / "wheels",
        "greeter",
        files={"greeter/__init__.py": "def main():\n    print('hello')\n"},
        scripts="[console_scripts]\ngreet = greeter:main\n",
    )


def pip(folder: Path, *arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=240,
    )


def install(wheel: Path, target: Path, *options: str) -> Path:
    pip(wheel.parent, "install", "--no-deps", "--target", target, *options, wheel)
    return target


def test_how_and_where_it_was_installed_makes_no_difference(
    wheel: Path, tmp_path: Path, write: Callable[..., Any]
) -> None:
    first = install(wheel, tmp_path / "a", "--compile")
    moved = tmp_path / "elsewhere" / wheel.name
    moved.parent.mkdir()
    wheel.rename(moved)
    second = install(moved, tmp_path / "b" / "c", "--no-compile")
    (second / "greeter-1.0.dist-info" / "INSTALLER").write_text("uv")
    (second / "greeter-1.0.dist-info" / "uv_cache.json").write_text("{}")
    assert list(first.rglob("*.pyc"))
    assert write(requirements_layer(first)).blob == write(requirements_layer(second)).blob


def test_what_is_in_it(wheel: Path, tmp_path: Path, write: Callable[..., Any]) -> None:
    written = write(requirements_layer(install(wheel, tmp_path / "site", "--compile")))
    names = {name.removeprefix(f"{ROOT}/") for name in written.members}
    assert {"greeter/__init__.py", "greeter-1.0.dist-info/METADATA"} <= names
    assert not any("bin" in name or "__pycache__" in name for name in names)
    assert "greeter-1.0.dist-info/direct_url.json" not in names
    assert written.members["opt/kaptain"].mode == 0o755
    assert "opt" not in written.members
    record = written.content(f"{ROOT}/greeter-1.0.dist-info/RECORD").decode()
    assert {line.split(",")[0] for line in record.splitlines()} == {
        name.removeprefix(f"{ROOT}/") for name, member in written.members.items() if member.isfile()
    }


def test_python_takes_it_for_installed(
    wheel: Path, tmp_path: Path, write: Callable[..., Any]
) -> None:
    """importlib.metadata checks each file of RECORD, its hash and its size."""
    written = write(requirements_layer(install(wheel, tmp_path / "site", "--compile")))
    with tarfile.open(fileobj=io.BytesIO(written.blob)) as archive:
        archive.extractall(tmp_path / "root", filter="data")
    program = (
        "import base64, hashlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from importlib.metadata import distribution\n"
        "import greeter; greeter.main()\n"
        "for file in distribution('greeter').files:\n"
        "    data = file.locate().read_bytes()\n"
        "    if file.hash:\n"
        "        found = hashlib.new(file.hash.mode, data).digest()\n"
        "        wanted = base64.urlsafe_b64encode(found).rstrip(b'=').decode()\n"
        "        assert (wanted, len(data)) == (file.hash.value, file.size), file\n"
        "print(distribution('greeter').read_text('INSTALLER'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, tmp_path / "root" / ROOT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["hello", "pip"], "")


def dist_info(site: Path, **files: str) -> Path:
    folder = site / "other-2.0.dist-info"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_json", ".json")).write_text(text)
    return site


def test_what_came_from_a_repository_says_so(tmp_path: Path, write: Callable[..., Any]) -> None:
    text = json.dumps({"url": "https://example.com/x.git", "vcs_info": {"commit_id": "1"}})
    site = dist_info(tmp_path / "site", direct_url_json=text, METADATA="Name: other\n")
    written = write(requirements_layer(site))
    assert written.content(f"{ROOT}/other-2.0.dist-info/direct_url.json").decode() == text


def test_editable_packages_are_refused(tmp_path: Path) -> None:
    text = json.dumps({"url": "file:///src/other", "dir_info": {"editable": True}})
    site = dist_info(tmp_path / "site", direct_url_json=text)
    with pytest.raises(ImageBuildException, match="The requirement other is installed as editable"):
        requirements_layer(site)


def test_a_list_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    site = dist_info(tmp_path / "site")
    (site / "other-2.0.dist-info" / "RECORD").write_bytes(b"\xff\xfe,,\n")
    with pytest.raises(ImageBuildException, match=r"other-2\.0\.dist-info/RECORD can't be read"):
        requirements_layer(site)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    site = dist_info(tmp_path / "site")
    (site / "link.py").symlink_to("/etc/passwd")
    with pytest.raises(ModelValidationException, match=r"'link\.py' lies outside"):
        requirements_layer(site)
