from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.venvs import create_venv, install_command, install_requirements


def interpreter(folder: Path, script: str) -> Path:
    """A program in place of an interpreter; it has pip, and does `script` when asked to install."""
    file = folder / "python"
    file.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\n{script}\n')
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("line", "culprit"),
    [
        ("ERROR: No matching distribution found for torch==99", "torch==99"),
        ("ERROR: Invalid requirement: 'a b'", "'a b'"),
        ("ERROR: Failed building wheel for fasttext", "fasttext"),
        ("WARNING: Requirement './x.whl' looks like a filename, but the file", "./x.whl"),
        ("ERROR: Cannot install a==1 and a==2 because these", "a==1 and a==2"),
        ("  x Because nonesuch was not found in the package registry", "nonesuch"),
    ],
)
def test_the_requirement_that_fails_is_named(tmp_path: Path, line: str, culprit: str) -> None:
    log: list[str] = []
    script = f'echo "Looking in https://me:s3cret@example.com"\necho "{line}" >&2\nexit 1'
    with pytest.raises(ImageBuildException) as caught:
        install_requirements(
            interpreter(tmp_path, script), tmp_path / "requirements.txt", tmp_path, log.append
        )
    error = caught.value
    assert error.message == f"The requirement {culprit} in requirements.txt can't be installed."
    assert error.log_tail == f"Looking in https://***@example.com\n{line}"
    assert log == error.log_tail.splitlines()


def test_an_error_keeps_the_last_lines_only(tmp_path: Path) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo $n; echo; echo; echo; done; exit 2"
    with pytest.raises(ImageBuildException, match=r"Something in reqs\.txt") as caught:
        install_requirements(
            interpreter(tmp_path, script), tmp_path / "reqs.txt", tmp_path, lambda _: None
        )
    assert (caught.value.log_tail or "").split() == ["5", "6", "7", "8", "9"]


def test_variables_that_mislead_pip_are_not_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_TARGET", "PIP_USER", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "given")
    log: list[str] = []
    python = interpreter(tmp_path, 'echo "$PIP_TARGET|$PIP_USER|$PIP_INDEX_URL|$PWD|$*"')
    install_requirements(python, tmp_path / "r.txt", tmp_path, log.append)
    (line,) = log
    assert line.startswith(f"|0|given|{tmp_path}|-m pip install")
    assert line.endswith(f"-r {tmp_path / 'r.txt'}")


def test_descriptors_stay_open_for_the_installation(tmp_path: Path) -> None:
    log: list[str] = []
    reading, writing = os.pipe()
    try:
        python = interpreter(tmp_path, f'[ -e /dev/fd/{writing} ] && echo "open"')
        install_requirements(python, tmp_path / "r", tmp_path, log.append, keep_open=(writing,))
    finally:
        os.close(reading)
        os.close(writing)
    assert log == ["open"]


def test_a_failing_log_ends_the_installation(tmp_path: Path) -> None:
    def full(_line: str) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        install_requirements(
            interpreter(tmp_path, "echo started; exec sleep 600"), tmp_path / "r", tmp_path, full
        )


def test_uv_installs_for_the_environment(tmp_path: Path) -> None:
    command = install_command(tmp_path / "python", tmp_path / "r.txt", "/opt/uv")
    assert command[:3] == ["/opt/uv", "pip", "install"]
    assert command[-4:] == ["--python", str(tmp_path / "python"), "-r", str(tmp_path / "r.txt")]


def test_without_pip_and_uv_pip_is_unpacked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 1\necho "$1 $2"\n')
    python.chmod(0o755)
    log: list[str] = []
    install_requirements(python, tmp_path / "r.txt", tmp_path, log.append)
    assert log == ["-m ensurepip", "-m pip"]


def test_a_venv_within_a_venv_sees_the_packages_of_both(tmp_path: Path) -> None:
    """The outer one has a package, one by a .pth file as editable installs have, and pytest's."""
    outer = create_venv(tmp_path / "outer")
    code = (
        "import sys; from pathlib import Path\n"
        "from kaptain_kfp.image.venvs import create_venv\n"
        "print(create_venv(Path(sys.argv[1])))"
    )
    site = Path(
        subprocess.check_output(
            [outer, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    (site / "plain.py").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "editable.py").write_text("")
    (site / "editable.pth").write_text(f"{tmp_path / 'elsewhere'}\n")
    made = subprocess.check_output([outer, "-c", code, tmp_path / "inner"], text=True).strip()
    script = "import plain, editable, pydantic, pytest, sys; print(sys.prefix)"
    seen = subprocess.check_output([made, "-c", script], text=True, cwd=tmp_path)
    assert seen.strip() == str(tmp_path / "inner")


def test_a_venv_that_cannot_be_created_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageBuildException) as caught:
        create_venv(tmp_path / "file" / "venv")
    assert str(tmp_path / "file") in str(caught.value)
    assert sys.executable in str(caught.value)
