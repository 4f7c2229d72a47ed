"""What is written down about the steps of a run: one note for each in the run's folder.

A step has a note of its own for every iteration of a loop that it is in. The launcher writes it at
the step's begin and end; whoever shows a run reads them.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = [
    "StepNote",
    "dag_id",
    "note_of",
    "notes",
    "parent_task_id",
    "path_key",
    "task_id",
    "write_note",
]

_LARGEST_ID = 10**9
_IDS = uuid.UUID("5b1d4c0e-3b5f-4a39-9d6e-0d4f1d8f0a51")


@dataclass(frozen=True)
class StepNote:
    """How a step stands.

    Attributes:
        task: Its path in the pipeline, e.g. ``inner.train``.
        iterations: Which iterations of loops it is in; empty outside of loops.
        began: When it began (seconds since 1970).
        ended: When it ended; None while it runs.
        state: ``RUNNING``, ``SUCCEEDED`` or ``FAILED``.
        message: Why it failed.
        outputs: The folder with its outputs.
    """

    task: str
    iterations: str
    began: float
    ended: float | None = None
    state: str = "RUNNING"
    message: str = ""
    outputs: str = ""


def dag_id(run_id: str, task: str, iterations: str) -> str:
    """Returns the id of the DAG that a task is in: a number that stays the same for the run.

    Tasks of one DAG share it; each iteration of a loop and each nested pipeline has its own.
    """
    text = f"{run_id}/{task.rpartition('.')[0]}/{iterations}"
    return str(1 + int(hashlib.sha256(text.encode()).hexdigest(), 16) % _LARGEST_ID)


def path_key(path: Sequence[str], iterations: str) -> str:
    """Returns what a task is found by within its run: its path, and the iterations it is in."""
    return f"{'.'.join(path)}[{iterations}]"


def task_id(run_id: str, key: str) -> str:
    """Returns the id of a task, by its `path_key`; ``root`` is that of the pipeline."""
    return str(uuid.uuid5(_IDS, f"{run_id}/{key}"))


def parent_task_id(run_id: str, task: str, iterations: str) -> str:
    """Returns the id of the task that holds a task, where artifacts are the API's own.

    All iterations of a loop share the loop's.
    """
    *path, _ = task.split(".")
    if not path:
        return task_id(run_id, "root")
    before, _, last = iterations.rpartition(".")
    inner = before if last.startswith(f"{path[-1]}-iteration-") else iterations
    return task_id(run_id, path_key(path, inner))


def note_of(run_folder: Path, task: str, iterations: str) -> StepNote | None:
    """Returns the note of a step, or None where there is none yet."""
    return _read(_path(run_folder, task, iterations))


def notes(run_folder: Path) -> Iterator[StepNote]:
    """Yields the notes of all steps of a run, in the order in which they began."""
    found = [_read(path) for path in (run_folder / "steps").glob("*.json")]
    yield from sorted((note for note in found if note), key=lambda note: (note.began, note.task))


def write_note(run_folder: Path, note: StepNote) -> None:
    """Writes a note in place of what was there."""
    path = _path(run_folder, note.task, note.iterations)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(note)), encoding="utf-8")
    draft.replace(path)


def _path(run_folder: Path, task: str, iterations: str) -> Path:
    key = hashlib.sha256(f"{iterations}/{task}".encode()).hexdigest()[:32]
    return run_folder / "steps" / f"{key}.json"


def _read(path: Path) -> StepNote | None:
    with suppress(FileNotFoundError):
        return StepNote(**json.loads(path.read_text("utf-8")))
    return None
