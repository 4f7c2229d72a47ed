"""What tests need beside Python: where it is missing they are skipped, and say what to do about it.

Where the variable of that need is set, as CI sets it, they fail instead.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from kaptain_kfp.testing.registry import missing_programs

FRAMEWORKS = "KAPTAIN_TEST_REQUIRES_FRAMEWORKS"
REGISTRY = "KAPTAIN_TEST_REQUIRES_REGISTRY"
ROOT = "KAPTAIN_TEST_REQUIRES_ROOT"
SHARED = "KAPTAIN_TEST_REQUIRES_SHARED"

SHARED_FOLDER = Path(__file__).resolve().parents[2] / "shared"
"""Beside the checkout: what the real operators and API servers say."""


def required(variable: str) -> bool:
    """Returns whether what a variable stands for must be there."""
    return os.environ.get(variable, "") not in ("", "0", "false")


def lack(variable: str, what: str, remedy: str, *, of_module: bool = False) -> None:
    """Ends a test that can't be made here.

    Args:
        variable: Where it is set, the test fails.
        what: What is missing.
        remedy: How to get it.
        of_module: It is called when a module is imported, for all of its tests.
    """
    if required(variable):
        pytest.fail(f"{variable} is set, but {what}: {remedy}")
    pytest.skip(f"{what}: {remedy}", allow_module_level=of_module)


def need_programs(*programs: str) -> None:
    """Ends a test where a program that judges images is missing."""
    if missing := [name for name in programs if shutil.which(name) is None]:
        names = ", ".join(missing)
        lack(REGISTRY, f"there is no {names}", "apt-get install what has it, see .ci/run")


def need_registry(*programs: str) -> None:
    """Ends a test where a program that makes a registry is missing, or another one."""
    need_programs(*missing_programs(*programs))


def need_modules(*modules: str) -> None:
    """Ends a test where a framework is missing."""
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        lack(FRAMEWORKS, f"{', '.join(missing)} isn't installed", "pip install it, see .ci/run")


def shared_if_there(*parts: str) -> Path | None:
    """Returns a file or folder of the shared folder, for tests that say something without it."""
    wanted = required(SHARED) or SHARED_FOLDER.joinpath(*parts).exists()
    return need_shared(*parts) if wanted else None


def need_shared(*parts: str, of_module: bool = False) -> Path:
    """Returns a file or folder of the shared folder; ends the test where it is missing."""
    path = SHARED_FOLDER.joinpath(*parts)
    if not path.exists():
        what = f"{Path('..', SHARED_FOLDER.name, *parts)} isn't beside this checkout"
        lack(SHARED, what, "it is held to less than it could be", of_module=of_module)
    return path
