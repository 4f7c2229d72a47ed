"""A real base image for tests: Debian with its own Python, made once and kept on this machine.

It needs the superuser of a Linux, and the programs ``debootstrap``, ``umoci`` and ``skopeo``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["PYTHON_VERSION", "debian_layout", "run_in_root"]

PYTHON_VERSION = "3.11"
_SUITE = "bookworm"
_PACKAGES = "python3"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECONDS = 900.0
_LEND = """
mount --bind "$0" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"
"""


def debian_layout(cache: Path | None = None) -> Path:
    """Returns an OCI layout that holds the image ``base``: Debian 12 with ``python``.

    It takes a minute or two the first time.

    Args:
        cache: Where it is kept; by default in ``$XDG_CACHE_HOME``, else ``~/.cache``.

    Raises:
        FileNotFoundError: A program is missing.
        subprocess.CalledProcessError: One of them failed; its ``stderr`` says why. The mirror
            (KAPTAIN_TEST_DEBIAN_MIRROR) may be out of reach.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache or home / "kaptain-tests"
    folder.mkdir(parents=True, exist_ok=True)
    layout = folder / f"{_SUITE}-{_PACKAGES}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layout.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _make(Path(scratch)).rename(layout)
    return layout


def run_in_root(
    root: Path,
    command: Sequence[str],
    *,
    environment: Sequence[str],
    cwd: str,
    user: int,
    lent: Mapping[str, Path] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program in an unpacked root file system, as that user.

    Args:
        root: The root file system.
        command: The program and its arguments, as they are called in there.
        environment: ``NAME=value``, and nothing else.
        cwd: The folder that it starts in.
        user: The number of the user, and of the group.
        lent: Folders of this machine that are seen in there as long as the program runs, and that
            can't be changed by it: by their paths in there. It needs ``unshare``.
    """
    lending = []
    for place, folder in (lent or {}).items():
        seen = root / place.lstrip("/")
        seen.mkdir(parents=True)
        lending += ["sh", "-c", _LEND, str(folder), str(seen)]
    return subprocess.run(
        [
            # mounts of its own: whatever removes the root later doesn't find what was lent
            *(("unshare", "--mount", *lending) if lending else ()),
            *("chroot", f"--userspec={user}:{user}", "--groups=", str(root)),
            *("/usr/bin/env", "-i", *environment),
            *("/bin/sh", "-c", 'cd "$0" && exec "$@"', cwd, *command),
        ],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def _make(scratch: Path) -> Path:
    root, layout = scratch / "root", scratch / "layout"
    # without one, debootstrap knows where Debian is
    mirror = filter(None, [os.environ.get("KAPTAIN_TEST_DEBIAN_MIRROR")])
    options = ("--variant=minbase", f"--include={_PACKAGES}")
    _run("debootstrap", *options, _SUITE, str(root), *mirror)
    for noise in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(root / noise, ignore_errors=True)
    # what official images of Python call it
    (root / "usr/bin/python").symlink_to("python3")
    image = f"{layout}:base"
    _run("umoci", "init", "--layout", str(layout))
    _run("umoci", "new", "--image", image)
    _run("umoci", "insert", "--image", image, str(root), "/")
    variables = (f"PATH={_PATH}", f"PYTHON_VERSION={PYTHON_VERSION}")
    settings = [word for variable in variables for word in ("--config.env", variable)]
    _run("umoci", "config", "--image", image, *settings, "--config.cmd", "python")
    return layout


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
