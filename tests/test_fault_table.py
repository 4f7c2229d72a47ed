"""The table of faults proves something: every row of it was injected, or the command fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .commands import run_suite

SUITE = """
import pytest
from .conftest import FAULTS

@pytest.mark.parametrize("row", [
    pytest.param(row, marks=pytest.mark.fault(row)) for row in FAULTS[1:]
])
def test_others(row): pass

@pytest.mark.fault(FAULTS[0])
def test_first(injected):
    {body}
"""


def run(folder: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a suite with our conftest, whose first row's test does something."""
    return run_suite(folder, SUITE.format(body=body), *options)


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        pytest.param("injected()", 0, "1         1\n", id="injected"),
        pytest.param("pass", 1, "0         0  SHORT\n", id="it injects nothing"),
        pytest.param("pytest.skip()", 1, "0         0  SHORT\n", id="it is skipped"),
        pytest.param("injected(); assert 0", 1, "1         0  SHORT\n", id="not survived"),
    ],
)
def test_a_row_counts_what_was_injected(tmp_path: Path, body: str, code: int, says: str) -> None:
    done = run(tmp_path, body, "--faults")
    assert done.returncode == code, done.stdout + done.stderr
    (row,) = [line for line in done.stdout.splitlines(True) if line.startswith("notebook killed")]
    assert row.removeprefix("notebook killed").lstrip() == says


def test_a_test_that_injects_nothing_fails_without_the_table_too(tmp_path: Path) -> None:
    done = run(tmp_path, "pass")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_suite.py::test_first: no fault was injected" in done.stdout
    assert "../shared isn't beside this checkout" in done.stdout
