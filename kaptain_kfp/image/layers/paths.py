"""Where things lie in the images that we make."""

from __future__ import annotations

__all__ = [
    "CODE_FOLDER",
    "CODE_PACKAGES",
    "HELPERS_FOLDER",
    "PYTHON_PATH",
    "SITE_PACKAGES",
    "entry_path",
]

CODE_FOLDER = "/kaptain"
"""The training code: where scripts start, and may write."""
HELPERS_FOLDER = "/opt/kaptain/helpers"
"""What scripts import to store models and record metrics."""
CODE_PACKAGES = "/opt/kaptain/code-packages"
"""Packages that the requirements name by a path: they change with the code."""
SITE_PACKAGES = "/opt/kaptain/site-packages"
"""The other requirements."""
PYTHON_PATH = (HELPERS_FOLDER, CODE_PACKAGES, SITE_PACKAGES)
"""What precedes the packages of the base image, in this order."""


def entry_path(folder: str, path: str = ".") -> str:
    """Returns the path in a layer of what lies at `path` below a folder of the image."""
    return folder.lstrip("/") if path == "." else f"{folder.lstrip('/')}/{path}"
