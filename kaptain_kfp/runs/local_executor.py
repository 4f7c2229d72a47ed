"""The program that executes one pipeline run on this machine, by `kfp.local`.

Run as ``python -m kaptain_kfp.runs.local_executor`` in a pod of its own. Exit code 0: the pipeline
succeeded; 1: it failed; 137: one of its steps was killed, which counts as if it had been itself.
Then it is run again: steps find by name what they began.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from kaptain_kfp.components.identity import DAG_VARIABLE, RUN_VARIABLE, TASK_VARIABLE
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects

from .launcher import HOME_VARIABLE, NAMESPACE_VARIABLE
from .local_output import ReadableOutput, without_colour
from .local_spec import STEP_PROGRAM, KubeflowRun, with_own_components

__all__ = ["main", "skip_client_of_kfp", "step_was_killed", "write_step_program"]

_LAST_WORDS_SECONDS = 1.0
_AS_IN_A_STEP = "_KFP_RUNTIME"

_KILLED = 137
_STEP_FAILED = "Inner task failed"
"""What `kfp.local` says where a step ended with another code than 0."""

_BEGAN, _WELL, _FAILED = ".began", ".well", ".failed"
_START_STEP = f"""#!/bin/sh
export {TASK_VARIABLE}="$1" {DAG_VARIABLE}="$2"
shift 2
true > "$0.$$"{_BEGAN} || {{ mv "$0"{_WELL} "$0"{_FAILED}; exit 1; }}
"$@"
code=$?
case $code in
  137|143) exit $code ;;
  0) ;;
  *) mv "$0"{_WELL} "$0"{_FAILED} 2> /dev/null ;;
esac
rm -f "$0.$$"{_BEGAN}
exit $code
"""
"""Tells steps that came to their own end from those that were killed (SIGKILL, SIGTERM).

Of one that was killed its file is left, where it had one already; one that failed by itself says so
by giving another file its name, which takes no space on a disk that is full.
"""


def main() -> int:
    """Executes the run that the environment names."""
    home = Home(Path(os.environ[HOME_VARIABLE]))
    run_id = os.environ[RUN_VARIABLE]
    run = Objects(home.root).get("Run", run_id, os.environ.get(NAMESPACE_VARIABLE, "default"))
    folder = home.run(run_id)
    scratch = folder / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)  # of an executor that was killed
    scratch.mkdir(parents=True)
    # Steps leave their program texts there.
    os.environ["TMPDIR"] = str(scratch)
    try:
        _use_wrapped_interpreter(scratch)
        write_step_program(scratch)
        parameters = run["spec"].get("parameters", {})
        error = _execute(_prepared(run), parameters, folder / "artifacts")
        if error is None:
            return 0
        # In a Kubeflow a step that is killed has failed.
        if "kubeflow" not in run["spec"] and step_was_killed(scratch, error):
            print("A step was killed; the run is executed again.", file=sys.stderr, flush=True)
            return _KILLED
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_step_program(scratch: Path) -> Path:
    """Writes what every step is started by, and returns it.

    Args:
        scratch: The folder where steps leave what they have to tell.
    """
    program = scratch / STEP_PROGRAM
    _write_program(program, _START_STEP)
    Path(f"{program}{_WELL}").touch()
    return program


def step_was_killed(scratch: Path, error: str) -> bool:
    """Tells whether a pipeline failed by a step that didn't come to its own end.

    It may have been killed before it could do anything, or after it had succeeded: so it counts as
    killed unless a step said that it failed.

    Args:
        scratch: The folder of `write_step_program`.
        error: What `kfp.local` says.
    """
    if any(scratch.glob(f"*{_BEGAN}")):
        return True
    return _STEP_FAILED in error and not Path(f"{scratch / STEP_PROGRAM}{_FAILED}").exists()


def _prepared(run: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the run's pipeline as `kfp.local` is to have it."""
    spec, metadata = run["spec"], run["metadata"]
    kubeflow = None
    if "kubeflow" in spec:
        signal.signal(signal.SIGTERM, _leave)
        kubeflow = KubeflowRun.of(run)
    return with_own_components(
        spec["pipelineSpec"],
        spec.get("platformSpec"),
        namespace=metadata["namespace"],
        kubeflow=kubeflow,
    )


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends a Kubeflow run's executor the way its pods end: a moment after the first SIGTERM.

    The steps got the signal, too, and are killed with the pod.
    """
    time.sleep(_LAST_WORDS_SECONDS)
    os._exit(128 + number)


def _execute(pipeline: Mapping[str, Any], parameters: Mapping[str, Any], root: Path) -> str | None:
    """Runs a pipeline; returns why it failed, None where it didn't."""
    skip_client_of_kfp()
    from kfp import local
    from kfp.components import load_component_from_text

    # What `kfp.local` says about settings that mean something on a cluster only.
    warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
    warnings.filterwarnings(
        "ignore", message="You may be attemping to run a task", category=RuntimeWarning
    )
    local.init(
        runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True
    )
    component = load_component_from_text(json.dumps(pipeline))
    sys.stdout = _Readable(sys.stdout)
    try:
        component(**parameters)
    except RuntimeError as error:
        told = without_colour(str(error))
        print(f"error: {told}", file=sys.stderr, flush=True)
        return told
    return None


def skip_client_of_kfp() -> None:
    """Imports `kfp` as it is imported in a step: without the client of its API server.

    That client, and the one of Kubernetes that it brings along, take as long to import as all the
    rest, and nothing here calls a server.
    """
    os.environ[_AS_IN_A_STEP] = "true"
    try:
        import_module("kfp")
    finally:
        del os.environ[_AS_IN_A_STEP]  # what is imported from here on, is imported whole


class _Readable(io.TextIOBase):
    """Standard output that shows what a person wants to read."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._readable = ReadableOutput()
        self._rest = ""

    def write(self, text: str) -> int:
        """Writes the readable ones of all lines that are whole by now."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            for shown in self._readable.lines(line):
                self._target.write(shown + "\n")
        self._target.flush()
        return len(text)


def _use_wrapped_interpreter(folder: Path) -> None:
    """Lets steps start as plain ``python3``.

    `kfp.local` puts the interpreter's path, unquoted, in place of every ``python3`` of a step's
    command, also within the values of its parameters. With a wrapper of that very name in PATH
    there is nothing to replace, and paths with blanks work.
    """
    _write_program(folder / "python3", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    sys.executable = "python3"


def _write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o700)


if __name__ == "__main__":
    sys.exit(main())
