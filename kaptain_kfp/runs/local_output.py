"""Makes what `kfp.local` prints readable: the steps' own lines, and which step they are of.

Colours, rulers, and each step's whole input and output go; the script's lines stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["ReadableOutput", "without_colour"]

_COLOUR = re.compile(r"\x1b\[\d+m")
_ENGINE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} - [A-Z]+ - ")
_INDENT = "    "
_EXECUTOR = "[KFP Executor "
_INPUT = "Got executor_input:"


class ReadableOutput:
    """Takes the lines of `kfp.local` one after the other and gives back those to show."""

    def __init__(self) -> None:
        self._within_input = False
        self._within_outputs = False

    def lines(self, line: str) -> Iterator[str]:
        """Yields the line as it is to be shown, or nothing.

        Args:
            line: A line without its newline.
        """
        engine = _ENGINE.match(line)
        if engine is not None:
            text = without_colour(line[engine.end() :])
            self._within_outputs = text.startswith("Task ") and text.endswith(" outputs:")
            if text.startswith(("Executing task ", "Task ", "Pipeline ")) and not (
                self._within_outputs or text.endswith(" has no outputs")
            ):
                yield text
        elif line.startswith(_INDENT):
            yield from self._step_line(line[len(_INDENT) :])
        elif line and not line.startswith("-----"):
            yield line

    def _step_line(self, line: str) -> Iterator[str]:
        if self._within_outputs:
            return
        if self._within_input:
            self._within_input = line != "}"
        elif line.startswith(_EXECUTOR):
            self._within_input = line.endswith(_INPUT)
        elif line:
            yield line


def without_colour(text: str) -> str:
    """Returns a text without terminal colours."""
    return _COLOUR.sub("", text)
