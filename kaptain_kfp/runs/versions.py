"""How the versions of compiled pipelines are called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kaptain_kfp.version import __version__

__all__ = ["version_name"]

_DIGITS = 16


def version_name(*documents: Mapping[str, Any]) -> str:
    """Returns the name of a pipeline's version: that of this package, and a digest of the content.

    Args:
        *documents: The compiled pipeline (IR), and what it asks of Kubernetes, if anything.
    """
    content = json.dumps(documents, sort_keys=True, separators=(",", ":")).encode()
    return f"{__version__}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}"
