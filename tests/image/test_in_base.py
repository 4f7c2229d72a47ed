"""What a base image's own Python runs: real interpreters, real environments, a folder of wheels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from kaptain_kfp.image import in_base
from kaptain_kfp.image.in_base import ANSWER, KILLED, UNFIT


class Base:
    """The Python of a base image, with packages of its own."""

    def __init__(self, folder: Path, bare: Path, make_wheel: Callable[..., Path]) -> None:
        self.folder = folder
        self.index = folder / "index"
        self.index.mkdir()
        self.wheel = make_wheel
        self.work = folder / "work"
        self.code = self.work / "code"
        self.code.mkdir(parents=True)
        self.python = folder / "base" / "bin" / "python"
        shutil.copytree(bare, folder / "base", symlinks=True)

    def has(self, name: str, version: str) -> None:
        """Puts a package into the base."""
        file = self.wheel(self.folder / "own", name, version)
        pip = [str(self.python), "-m", "pip", "install", "-q", "--no-index", "--no-deps", str(file)]
        subprocess.run(pip, check=True)

    def install(self, *lines: str) -> tuple[int, str]:
        text = "\n".join(["--no-index", f"--find-links {self.index}", *lines, ""])
        (self.code / "requirements.txt").write_text(text)
        program = Path(in_base.__file__).read_text()
        words = [str(self.work), str(self.code), "requirements.txt"]
        environment = {
            "PATH": os.environ["PATH"],
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "0",
        }
        done = subprocess.run(
            [str(self.python), "-u", "-c", program, *words],
            env={**environment, "PIP_TARGET": str(self.folder / "misled")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def packages(self) -> set[str]:
        """Returns the names of what is in the folder that the answer names."""
        answer = json.loads((self.work / ANSWER).read_text())
        assert answer["python"] == ".".join(map(str, sys.version_info[:3]))
        return {path.name for path in (self.work / answer["packages"]).iterdir()}


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip; takes a while to make."""
    folder = tmp_path_factory.mktemp("bare") / "base"
    venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
    return folder


@pytest.fixture
def base(tmp_path: Path, bare: Path, make_wheel: Callable[..., Path]) -> Base:
    return Base(tmp_path, bare, make_wheel)


def test_what_the_base_has_is_not_installed_again(base: Base) -> None:
    base.has("big", "1.0+gpu")
    base.wheel(base.index, "big", "2.0")
    base.wheel(base.index, "small", requires=["big"])
    code, said = base.install("small", "big")
    assert code == 0, said
    assert base.packages() == {"small", "small-1.0.dist-info"}
    assert "already satisfied: big" in said and "WARNING" not in said
    assert not (base.folder / "misled").exists()


def test_an_upgrade_that_the_requirements_force_is_said(base: Base) -> None:
    base.has("big", "1.0")
    base.has("other_one", "1.0")
    for name in ("big", "other_one"):
        base.wheel(base.index, name, "2.0")
    base.wheel(base.index, "small", requires=["big>=2", "Other.One"])
    code, said = base.install("small")
    assert code == 0, said
    assert base.packages() == {"big", "big-2.0.dist-info", "small", "small-1.0.dist-info"}
    assert "need another version of big than the 1.0 of the base image" in said
    assert said.count("WARNING") == 1


def test_paths_are_relative_to_the_code(base: Base) -> None:
    base.wheel(base.code / "wheels", "mine")
    code, said = base.install("./wheels/mine-1.0-py3-none-any.whl")
    assert code == 0, said
    assert "mine" in base.packages()


def test_a_requirement_that_does_not_exist(base: Base) -> None:
    code, said = base.install("nope==3")
    assert code == 1
    assert "No matching distribution found for nope==3" in said
    assert not (base.work / ANSWER).exists()


def test_passwords_are_not_shown(base: Base) -> None:
    code, said = base.install("x @ https://me:hush@127.0.0.1:1/x-1.0-py3-none-any.whl")
    assert code == 1
    assert "hush" not in said and "127.0.0.1" in said


def test_a_base_without_pip_uses_one_beside_it(base: Base) -> None:
    venv.EnvBuilder(with_pip=False, clear=True, symlinks=True).create(base.folder / "base")
    base.wheel(base.index, "small")
    code, said = base.install("small")
    assert code == 0, said
    assert base.packages() == {"small", "small-1.0.dist-info"}


def test_a_base_that_lacks_what_it_takes(base: Base) -> None:
    places = subprocess.run(
        [str(base.python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(places) / "zzz_no_venv.pth").write_text("import sys; sys.modules['venv'] = None\n")
    code, said = base.install("small")
    assert (code, said) == (UNFIT, "error: The Python of the base image has no module venv.\n")


def test_a_pip_that_is_killed(base: Base) -> None:
    places = base.folder / "base" / "lib"
    (pip,) = places.glob("python*/site-packages/pip/__main__.py")
    pip.write_text(
        "import os, sys\nif 'install' in sys.argv: os.kill(os.getpid(), 9)\nprint('pip==1')\n"
    )
    code, said = base.install("small")
    assert code == 137
    assert said.splitlines()[-1] == KILLED
