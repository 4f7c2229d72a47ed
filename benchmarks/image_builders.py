"""Who builds and pushes an image of a model: we, and buildah by the same Dockerfile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from . import publisher
from .measure import Spent, spent
from .relay import Relay

__all__ = ["Buildah", "Built", "Ours", "Project"]

_FILES = 50
_FILE_BYTES = 4096
_WHEEL_BYTES = 20 << 20
# To unpack the wheel costs less than to have pip do it.
_DOCKERFILE = """
FROM {base}
RUN --mount=type=bind,source=wheels,target=/wheels \
    python -m zipfile -e /wheels/{wheel} /opt/kaptain/site-packages
ENV PYTHONPATH=/opt/kaptain/site-packages
WORKDIR /kaptain
COPY project /kaptain
ENTRYPOINT ["python", "-u", "trainer.py"]
"""


@dataclass(frozen=True)
class Built:
    """What a build took.

    Attributes:
        spent: Time and memory.
        sent: Bytes to the registry.
        received: Bytes from the registry.
    """

    spent: Spent
    sent: int
    received: int


class Project:
    """Training code, and the requirement that it has: a wheel beside it, so that no network counts.

    Args:
        folder: Where the code lies in ``project`` and wheels in ``wheels``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheel = ""
        self._code = folder / "project"
        self._number = 0
        (self._code / "package").mkdir(parents=True)
        (folder / "wheels").mkdir()
        for number in range(_FILES):
            file = self._code / "package" / f"module_{number}.py"
            file.write_text(f"DATA = {os.urandom(_FILE_BYTES // 2).hex()!r}\n")
        self.change_requirements()
        self.change_code()

    def change_code(self) -> None:
        """Writes another line into the script."""
        self._number += 1
        (self._code / "trainer.py").write_text(f"print({self._number})\n")

    def change_requirements(self) -> None:
        """Asks for another version."""
        self._number += 1
        version = f"1.{self._number}"
        info = f"bench_dependency-{version}.dist-info"
        self.wheel = f"bench_dependency-{version}-py3-none-any.whl"
        files = {
            "bench_dependency/__init__.py": f"VERSION = {version!r}\n",
            "bench_dependency/data.bin": os.urandom(_WHEEL_BYTES),
            f"{info}/METADATA": (
                f"Metadata-Version: 2.1\nName: bench-dependency\nVersion: {version}\n"
            ),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        }
        record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        wheels = self.folder / "wheels"
        for old in wheels.iterdir():
            old.unlink()
        with zipfile.ZipFile(wheels / self.wheel, "w") as archive:
            for path, content in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(path, content)
        (self._code / "requirements.txt").write_text(
            f"--no-index\n--find-links {wheels.as_uri()}\nbench-dependency=={version}\n"
        )


class Ours:
    """This package, as a program of its own."""

    def __init__(self, project: Project, relay: Relay) -> None:
        self._project = project
        self._relay = relay

    def build(self, base: str, name: str) -> Built:
        """Builds and pushes."""
        command = [sys.executable, publisher.__file__, str(self._project.folder), base, name]
        return _counted(self._relay, command, self._project.folder, {})

    def forget(self) -> None:
        """Removes the packed requirements, as in a new pod."""
        shutil.rmtree(self._project.folder / "home")


class Buildah:
    """Debian's buildah.

    Args:
        project: What it builds.
        relay: Before the registry.
        folder: Where it keeps layers; made when it is needed.
    """

    def __init__(self, project: Project, relay: Relay, folder: Path) -> None:
        self._project = project
        self._relay = relay
        self._folder = folder
        self.driver = _driver(folder)

    def build(self, base: str, name: str) -> Built:
        """Builds with what it has kept of builds before, and pushes."""
        text = _DOCKERFILE.format(base=base, wheel=self._project.wheel)
        (self._project.folder / "Dockerfile").write_text(text)
        places = (f"--root={self._folder}/storage", f"--runroot={self._folder}/run")
        buildah = " ".join(("buildah", *places, f"--storage-driver={self.driver}"))
        bud = f"bud -q --isolation chroot --layers --tls-verify=false -t {name} ."
        script = f"{buildah} {bud} && {buildah} push -q --tls-verify=false {name}"
        environment = {"TMPDIR": str(self._folder)}
        return _counted(self._relay, ["sh", "-c", script], self._project.folder, environment)

    def forget(self) -> None:
        """Removes everything that it has kept, as in a new pod."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()


def _driver(folder: Path) -> str:
    """Returns the best way to keep layers that works in a folder."""
    folder.mkdir()
    names = ("lower", "upper", "work", "merged")
    for name in names:
        (folder / name).mkdir()
    options = ",".join(f"{name}dir={folder / name}" for name in names[:3])
    merged = str(folder / "merged")
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, merged]
    works = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if works:
        subprocess.run(["umount", merged], check=True)
    for name in names:
        shutil.rmtree(folder / name)
    return "overlay" if works else "vfs"


def _counted(relay: Relay, command: list[str], cwd: Path, environment: dict[str, str]) -> Built:
    sent, received = relay.sent, relay.received
    used = spent(command, cwd, environment)
    return Built(used, relay.sent - sent, relay.received - received)
