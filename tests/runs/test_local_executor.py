"""What the program that executes a run loads of kfp, and which steps it takes for killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaptain_kfp.runs.local_executor import step_was_killed, write_step_program

LOADS = """
import os, sys
from kaptain_kfp.runs import local_executor
local_executor.skip_client_of_kfp()
from kfp import dsl, local
from kfp.components import load_component_from_text
print(*sorted({"kfp.client", "kfp_server_api", "kubernetes", "google.auth"} & set(sys.modules)))
print(hasattr(dsl, "pipeline"), hasattr(dsl, "PipelineTask"), os.environ.get("_KFP_RUNTIME"))
"""


def test_kfp_is_loaded_without_its_client_but_otherwise_whole() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "_KFP_RUNTIME"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["", "True True None"]


FAILED = "Pipeline 'p' finished with status FAILURE. Inner task failed: 'step'."


def steps(scratch: Path, *scripts: str) -> list[int]:
    """Has steps run one after the other; returns how they ended."""
    program = write_step_program(scratch)
    commands = ([program, "step", "p", "sh", "-c", script] for script in scripts)
    return [subprocess.run(command, check=False).returncode for command in commands]


@pytest.mark.parametrize(
    ("scripts", "killed"),
    [
        (("exit 3",), False),
        (("exit 3", "exit 4"), False),
        (("exit 0", "exit 1"), False),
        (("kill -9 $$",), True),
        (("kill -15 $$",), True),
        # with what started it, which then can say nothing more
        (("kill -9 $PPID",), True),
        (("exit 3", "kill -9 $PPID"), True),
        # before it came to do anything, or once it had done everything
        ((), True),
        (("exit 0",), True),
    ],
)
def test_steps_that_did_not_come_to_their_own_end(
    tmp_path: Path, scripts: tuple[str, ...], killed: bool
) -> None:
    if not scripts:
        write_step_program(tmp_path)
    steps(tmp_path, *scripts)
    assert step_was_killed(tmp_path, FAILED) is killed


def test_what_has_no_step_to_blame_is_no_kill(tmp_path: Path) -> None:
    assert steps(tmp_path, "exit 0") == [0]
    assert not step_was_killed(tmp_path, "the pipeline can't be read")


def test_a_step_that_can_write_nothing_failed_by_itself(tmp_path: Path) -> None:
    program = write_step_program(tmp_path)
    # its file would have the name of a folder: the number is that of the process
    script = 'mkdir "$0.$$.began" && exec "$0" step p true'
    done = subprocess.run(["sh", "-c", script, program], capture_output=True, check=False)
    assert done.returncode == 1
    (folder,) = tmp_path.glob("*.began")
    folder.rmdir()
    assert not step_was_killed(tmp_path, FAILED)
