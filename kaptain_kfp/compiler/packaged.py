"""The pipelines that were compiled with the package: so that a call needn't import kfp."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from kaptain_kfp.version import __version__

__all__ = ["COMPONENT_IMAGE", "pipeline", "platform"]

COMPONENT_IMAGE = f"kaptain-kfp-python:{__version__}"
"""Stands in compiled pipelines for the image that steps run in."""


@cache
def _text(name: str) -> str:
    return (files("kaptain_kfp.compiler") / "compiled" / f"{name}.json").read_text("utf-8")


def pipeline(name: str) -> dict[str, Any]:
    """Returns a compiled pipeline (IR) of ours, e.g. ``kaptain-train``."""
    loaded: dict[str, Any] = json.loads(_text(name))
    return loaded


def platform(name: str) -> dict[str, Any]:
    """Returns the platform spec of a compiled pipeline of ours: what it asks of Kubernetes."""
    loaded: dict[str, Any] = json.loads(_text(f"{name}.platform"))
    return loaded
