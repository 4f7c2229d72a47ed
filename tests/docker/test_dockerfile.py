"""The component image, as far as it can be judged without an engine that builds it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from kaptain_kfp.compiler import packaged
from kaptain_kfp.version import __version__

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker" / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    word: str
    words: tuple[str, ...]
    stage: int


def instructions() -> list[Instruction]:
    lines = [line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#")]
    found: list[Instruction] = []
    stage = -1
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, *words = shlex.split(line)
            stage += word == "FROM"
            found.append(Instruction(word, tuple(words), stage))
    return found


def last(word: str) -> Instruction:
    """Returns the instruction that counts, of the stage that becomes the image."""
    whole = instructions()
    return [one for one in whole if one.word == word and one.stage == whole[-1].stage][-1]


def assignments(word: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in last(word).words)
    return {name: value for name, _, value in pairs}


def test_it_is_of_this_version() -> None:
    assert assignments("LABEL")["org.opencontainers.image.version"] == __version__
    assert f"kaptain-kfp:{__version__} ." in FILE.read_text("utf-8")
    assert assignments("LABEL")["org.opencontainers.image.title"] == "kaptain-kfp"


def test_its_base_is_slim_pinned_and_fits() -> None:
    bases = {one.words[0] for one in instructions() if one.word == "FROM"}
    (base,) = bases
    pinned = re.fullmatch(r"python:(\d+\.\d+\.\d+)-slim-[a-z]+", base)
    assert pinned is not None
    told = metadata.metadata("kaptain-kfp")
    assert SpecifierSet(told["Requires-Python"]).contains(pinned[1])
    minor = pinned[1].rpartition(".")[0]
    assert f"Programming Language :: Python :: {minor}" in told.get_all("Classifier")


def test_it_runs_as_nobody_special() -> None:
    assert last("USER").words == ("1000",)
    assert instructions()[-1].word == "USER"
    home = assignments("ENV")["HOME"]
    assert last("WORKDIR").words == (home,)
    making = next(one for one in instructions() if one.word == "RUN" and "useradd" in one.words)
    assert making.words[making.words.index("--uid") + 1] == "1000"


def test_steps_find_their_python() -> None:
    compiled = packaged.pipeline("kaptain-train")
    executors = compiled["deploymentSpec"]["executors"].values()
    assert executors
    for executor in executors:
        command = executor["container"]["command"]
        assert command[0] == "sh"
        assert any("python3 -m kfp.dsl.executor_main" in part for part in command)
    (venv,) = {
        words[words.index("venv") + 1]
        for words in (one.words for one in instructions() if one.word == "RUN")
        if "venv" in words
    }
    assert assignments("ENV")["PATH"].split(":")[0] == f"{venv}/bin"
    copied = [one.words for one in instructions() if one.word == "COPY" and one.stage == 1]
    assert copied == [("--from=build", venv, venv)]


def context(folder: Path) -> Path:
    """Puts into a folder what the first stage copies, of what the context lets through."""
    ignore = FILE.with_name("Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert ignore[0] == "*"
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    sources: list[str] = []
    for one in instructions():
        if one.word == "COPY" and one.stage == 0:
            sources += one.words[:-1]
    assert set(sources) == let_in
    for name in sources:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def test_what_it_copies_is_all_that_is_needed_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run(
        [*pip, str(installed), str(context(tmp_path / "context"))],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("pip finds no setuptools here, with which the package is built")
    assert done.returncode == 0, done.stderr
    program = (
        "import kaptain_kfp, kaptain_kfp.components.train, kaptain_kfp.components.build_image\n"
        "from kaptain_kfp.compiler import packaged\n"
        "packaged.pipeline('kaptain-train')\n"
        "print(kaptain_kfp.__file__)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "_KFP_RUNTIME": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.strip() == str(installed / "kaptain_kfp" / "__init__.py")
