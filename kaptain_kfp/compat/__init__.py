"""Lets scripts that were written for the Kaptain SDK run as they are.

The folder `script_path()` goes on the ``PYTHONPATH`` of training jobs. In it, a package ``kaptain``
offers what training scripts import, under the names that they know.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["script_path"]


def script_path() -> str:
    """Returns the folder to put on the ``PYTHONPATH`` of a training job."""
    return str(Path(__file__).parent / "path")
