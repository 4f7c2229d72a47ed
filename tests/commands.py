"""The command line, called in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from kaptain_kfp.cli import main


def call(*words: str, code: int = 0) -> Result:
    """Calls ``kaptain`` with words, and checks its exit code."""
    result = CliRunner().invoke(main, words, prog_name="kaptain")
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result


def told(*words: str, code: int = 0) -> Any:
    """Returns what ``kaptain`` prints as JSON; the words ask for it."""
    return json.loads(call(*words, code=code).stdout)
