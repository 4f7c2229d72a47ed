"""Fixed values that callers may want to name."""

from __future__ import annotations

__all__ = ["CONFIG_MAP_KIND", "DEFAULT_TIMEOUT_SECONDS", "SECRET_KIND"]

DEFAULT_TIMEOUT_SECONDS = 7 * 24 * 3600
"""How long training and tuning may take unless told otherwise: seven days."""

CONFIG_MAP_KIND = "ConfigMap"
"""A Kubernetes ConfigMap as the source of variables or files."""

SECRET_KIND = "Secret"
"""A Kubernetes Secret as the source of variables or files."""
