"""The command line, called in this process; and pytest, called in another one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from kaptain_kfp.cli import main

from .leaking import LEAKS

HERE = Path(__file__).parent


def call(*words: str, code: int = 0) -> Result:
    """Calls ``kaptain`` with words, checks its exit code, and that it tells no secret."""
    result = CliRunner().invoke(main, words, prog_name="kaptain")
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert not LEAKS.tells(result.output), "a secret is printed"
    return result


def told(*words: str, code: int = 0) -> Any:
    """Returns what ``kaptain`` prints as JSON; the words ask for it."""
    return json.loads(call(*words, code=code).stdout)


def run_suite(folder: Path, suite: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a module of tests with our conftest."""
    tests = folder / "tests"
    tests.mkdir()
    for name in ("conftest.py", "leaking.py", "needs.py"):
        shutil.copy(HERE / name, tests)
    (tests / "test_suite.py").write_text(suite, "utf-8")
    command = [sys.executable, "-m", "pytest", "--import-mode=importlib", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *options, "tests"], cwd=folder, capture_output=True, text=True, check=False
    )
