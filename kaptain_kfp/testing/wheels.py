"""Wheels for tests, written without building anything."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["make_wheel"]


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
    scripts: str = "",
    python: str = ">=3",
) -> Path:
    """Writes a wheel.

    Args:
        folder: Where; an index for pip's ``--find-links``.
        name: The package's name.
        version: Its version.
        tag: What it runs on.
        files: What it installs; by default a package with its version as `VERSION`.
        requires: What it needs.
        scripts: The content of its ``entry_points.txt``.
        python: The Pythons that it is for.

    Returns:
        The file.
    """
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    extras = re.findall(r"extra == '(\w+)'", needs)
    needs += f"Requires-Python: {python}\n"
    needs += "".join(f"Provides-Extra: {extra}\n" for extra in extras)
    content = {
        **(files if files is not None else {f"{name}/__init__.py": f"VERSION = {version!r}\n"}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        f"Tag: {tag}\n",
        **({f"{info}/entry_points.txt": scripts} if scripts else {}),
    }
    lines = [f"{path},sha256={_hash(text)},{len(text)}\n" for path, text in content.items()]
    content[f"{info}/RECORD"] = f"{''.join(lines)}{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return file


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
