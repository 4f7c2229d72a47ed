"""Metrics of a training: as the helper records them, and as a script may print them.

Standard library only: this module goes into training images.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypedDict

__all__ = ["SUFFIX", "Summary", "parse_log", "read_metrics", "record_line", "summarise"]

SUFFIX = ".metrics.jsonl"
"""What is appended to a model's upload path to name the object that its metrics go to."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?"
_PAIR = re.compile(rf"([\w|][\w|-]*)\s*=\s*({_NUMBER}|[+-]?(?i:nan|inf|infinity)\b)")
_LEVEL = r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)(?::[\w.]+:|\s-\s|\s)"
_PREFIX = rf"(?:.*?(?::\s|\]\s|{_LEVEL}))?"
_LINE = re.compile(rf"\s*{_PREFIX}\s*({_PAIR.pattern}(?:[\s,;]+{_PAIR.pattern})*)\s*")
_LONGEST = 2000
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Summary(TypedDict):
    """One metric over a training; min and max of the finite values, None where there is none."""

    latest: float
    min: float | None
    max: float | None


def record_line(metrics: Mapping[str, float], time: float) -> str:
    """Returns one recording as a line of JSON; values that JSON has no numbers for are text."""
    plain = {
        name: value if math.isfinite(value) else _word(value) for name, value in metrics.items()
    }
    return json.dumps({"time": time, "metrics": plain}) + "\n"


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def read_metrics(text: str) -> list[dict[str, float]]:
    """Returns the recordings of `record_line`, in order; a line that was cut short is left out."""
    recorded = []
    for line in text.splitlines():
        try:
            metrics = json.loads(line)["metrics"]
            recorded.append({name: _number(value) for name, value in metrics.items()})
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return recorded


def _number(value: float | str) -> float:
    return _NOT_FINITE[value] if isinstance(value, str) else float(value)


def summarise(recorded: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    """Returns name → ``latest``, and ``min`` and ``max`` of the finite values (else None)."""
    values: dict[str, list[float]] = {}
    for metrics in recorded:
        for name, value in metrics.items():
            values.setdefault(name, []).append(value)
    return {name: _summary(found) for name, found in values.items()}


def _summary(found: Sequence[float]) -> Summary:
    finite = [value for value in found if math.isfinite(value)]
    return {
        "latest": found[-1],
        "min": min(finite, default=None),
        "max": max(finite, default=None),
    }


def parse_log(lines: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yields the metrics that a script printed as ``name=value``.

    Katib takes every ``name=value`` anywhere in a line. Here the whole line must consist of such
    pairs, separated by blanks or commas, after at most a logging prefix: one that ends in ``: ``,
    ``] `` or a level as in ``INFO:root:``, ``INFO - `` or ``INFO ``. So a sentence that mentions a
    setting records nothing, nor do flags (``--lr=0.1``). Values that aren't finite are left out.
    """
    for line in lines:
        if "=" not in line or len(line) > _LONGEST:
            continue
        match = _LINE.fullmatch(line)
        if match is not None:
            for name, value in _PAIR.findall(match[1]):
                if math.isfinite(float(value)):
                    yield name, float(value)
