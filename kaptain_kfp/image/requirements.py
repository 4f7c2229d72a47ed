"""What a requirements file asks for."""

from __future__ import annotations

from pathlib import Path

__all__ = ["has_requirements"]


def has_requirements(file: Path) -> bool:
    """Says whether a pip requirements file holds more than blank lines and comments."""
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    lines = (line.strip() for line in text.splitlines())
    return any(line and not line.startswith("#") for line in lines)
