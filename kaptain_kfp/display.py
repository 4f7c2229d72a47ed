"""Tables for people: on a terminal, in a pipe, and in a notebook.

A row is a mapping of column names to text; all rows of a table have the same columns.
"""

from __future__ import annotations

import html
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaptain_kfp.checkup.base import Check

__all__ = [
    "Row",
    "age_text",
    "fact_text",
    "print_checks",
    "print_facts",
    "print_rows",
    "to_html",
    "to_text",
]

Row = Mapping[str, str]

_STATE_COLUMN = "STATE"
"""The column whose words are coloured."""

_GAP = "  "
_LEAST_LAST_COLUMN = 20
_COLOURS = {
    "green": ("complete", "deployed", "ok", "ready", "succeeded", "trained", "tuned"),
    "red": ("error", "failed", "notready"),
    "yellow": ("canceled", "canceling", "skipped", "suspended", "terminating", "unused", "warning"),
    "cyan": ("canary", "created", "pending", "restarting", "running"),
}
_COLOUR_OF = {word: colour for colour, words in _COLOURS.items() for word in words}
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def print_rows(rows: Sequence[Row], *, title: str = "", empty: str = "") -> None:
    """Prints a table to standard output: coloured on a terminal, else plain and nothing cut.

    Args:
        rows: What to print.
        title: A line above.
        empty: What to print in place of a table without rows; nothing by default.
    """
    if not rows:
        if empty:
            print(empty)
        return
    if not sys.stdout.isatty():
        print(f"{title}\n{to_text(rows)}" if title else to_text(rows))
        return
    _print_coloured(rows, title)


def print_checks(checks: Sequence[Check]) -> None:
    """Prints what was checked, and below it what to do about what isn't as it should be."""
    print_rows([{"check": c.name, "state": c.verdict, "found": c.found} for c in checks])
    todo = [c for c in checks if c.remedy]
    print_rows([{"check": c.name, "remedy": c.remedy} for c in todo], title="\nWhat to do:")


def to_text(rows: Sequence[Row]) -> str:
    """Returns a table as plain text, each cell in one line, in columns as wide as they need."""
    if not rows:
        return ""
    lines = _cells(rows)
    widths = _widths(lines)
    return "\n".join(
        _GAP.join(
            cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def to_html(rows: Sequence[Row]) -> str:
    """Returns a table as HTML, fit for a notebook's `_repr_html_`; every text is escaped."""
    if not rows:
        return "<table></table>"
    head = "".join(f"<th>{html.escape(column)}</th>" for column in rows[0])
    body = "".join(f"<tr>{''.join(map(_html_cell, row.values()))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def age_text(age: timedelta) -> str:
    """Returns a span of time in the largest unit of which it has two: ``45s``, ``90m``, ``12d``.

    One below zero, from a clock that is wrong, is ``0s``.
    """
    seconds = max(0, int(age.total_seconds()))
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def print_facts(facts: Mapping[str, object]) -> None:
    """Prints names with their values, one below the other; those without a value are left out."""
    texts = {name.replace("_", " ").capitalize(): fact_text(facts[name]) for name in facts}
    texts = {name: text for name, text in texts.items() if text}
    width = max(map(len, texts), default=0) + len(":" + _GAP)
    for name, text in texts.items():
        first, *rest = map(_one_line, text.splitlines())
        print(f"{name}:".ljust(width) + first)
        for line in rest:
            print(" " * width + line)


def fact_text(value: object) -> str:
    """Returns a value as people read it: times in this machine's zone, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Mapping):
        return "\n".join(f"{key} = {_item_text(item)}" for key, item in value.items())
    return _item_text(value)


def _print_coloured(rows: Sequence[Row], title: str) -> None:
    # imported here, since it costs more than all that a `--help` needs
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    head, *lines = cells = _cells(rows)
    table = Table(box=None, title=title or None, title_justify="left", pad_edge=False)
    for column in head[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(head[-1], overflow="fold")
    for line in lines:
        pairs = zip(head, line, strict=True)
        table.add_row(*(Text(cell, style=_colour(column, cell)) for column, cell in pairs))
    console = Console()
    # ids and names must be fit to be copied: rather too wide for the terminal than cut
    others = sum(width + len(_GAP) for width in _widths(cells)[:-1])
    console.width = max(console.width, others + _LEAST_LAST_COLUMN)
    console.print(table)


def _cells(rows: Sequence[Row]) -> list[list[str]]:
    """Returns the lines of a table, its head first; each cell fits in one line."""
    head = [column.upper() for column in rows[0]]
    return [head, *([_one_line(cell) for cell in row.values()] for row in rows)]


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(*lines, strict=True)]


def _item_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _colour(column: str, word: str) -> str:
    return _COLOUR_OF.get(word.lower(), "") if column == _STATE_COLUMN else ""


def _html_cell(cell: str) -> str:
    return f"<td>{html.escape(cell)}</td>"


def _one_line(cell: str) -> str:
    """Returns a text without line breaks and without what a terminal would obey."""
    words = " ".join(cell.split())
    return "".join(c for c in words if unicodedata.category(c) != "Cc")


def _width(text: str) -> int:
    """Returns how many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)
