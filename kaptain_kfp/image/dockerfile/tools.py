"""Builds a Dockerfile with a program of this machine: buildah, podman or docker."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.builder import Log
from kaptain_kfp.image.layers.config import LABEL_CHECKSUM
from kaptain_kfp.image.oci import Platform
from kaptain_kfp.image.pip_process import run

from .context import Context

__all__ = ["TOOLS", "Tool", "find_tool"]

TOOLS = ("buildah", "podman", "docker")
"""What can build any Dockerfile, in the order in which they are looked for."""
_VARIABLES = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
"""With its provenance an image is an index; docker without buildx doesn't know the option."""


@dataclass(frozen=True)
class Tool:
    """A program that is here.

    Attributes:
        name: One of `TOOLS`.
        path: Where it is.
    """

    name: str
    path: str

    def build(
        self,
        name: str,
        dockerfile: str,
        context: Context,
        checksum: str,
        log: Log,
        *,
        login: str | None = None,
        ca: str | None = None,
        plain: bool = False,
        ours: bool = False,
    ) -> None:
        """Builds an image and pushes it.

        Args:
            name: Its full name.
            dockerfile: What it is made of.
            context: The files that are copied.
            checksum: The label that it gets after everything that the Dockerfile says.
            log: Gets the lines of its output.
            login: Docker's ``config.json``.
            ca: The certificate of the registry's authority, as PEM.
            plain: Whether the registry speaks HTTP without TLS.
            ours: Whether all that is pulled comes from this registry or this machine, so that
                `ca` and `plain` may be told for that, too.

        Raises:
            ImageBuildException: It failed.
        """
        with tempfile.TemporaryDirectory(prefix="kaptain-dockerfile-") as scratch:
            folder = Path(scratch)
            place = folder / "context"
            _fill(place, context)
            file = folder / "Dockerfile"
            text = f"{dockerfile.rstrip()}\nLABEL {LABEL_CHECKSUM}={checksum}\n"
            file.write_text(text, encoding="utf-8")
            before, options = self._login(folder, login)
            trust = self._trust(folder, ca, plain)
            checked = trust if ours else []
            named = ["-f", str(file), "-t", name, str(place)]
            self._run([*before, *self._build(), *options, *checked, *named], place, log, name)
            self._run([*before, "push", *options, *trust, name], place, log, name)

    def _build(self) -> list[str]:
        """Returns the command that builds what is looked for later: one image, for a platform."""
        return ["bud" if self.name == "buildah" else "build", f"--platform={Platform()}"]

    def _login(self, folder: Path, login: str | None) -> tuple[list[str], list[str]]:
        """Returns the options before the command, and those after it."""
        if not login:
            return [], []
        config = folder / "login" / "config.json"
        config.parent.mkdir(mode=0o700)
        config.touch(0o600)
        config.write_text(_as_docker_writes(login), encoding="utf-8")
        if self.name == "docker":
            return ["--config", str(config.parent)], []
        return [], [f"--authfile={config}"]

    def _trust(self, folder: Path, ca: str | None, plain: bool) -> list[str]:
        """Returns the options that hold for every registry that a command speaks to."""
        if self.name == "docker":
            return []  # its daemon has its own settings for certificates and plain HTTP
        options = ["--tls-verify=false"] if plain else []
        if ca:
            certificates = folder / "certificates"
            certificates.mkdir()
            (certificates / "ca.crt").write_text(ca, encoding="utf-8")
            options.append(f"--cert-dir={certificates}")
        return options

    def _run(self, words: list[str], folder: Path, log: Log, image: str) -> None:
        returned, tail = run([self.path, *words], folder, log, variables=_VARIABLES)
        if returned:
            raise ImageBuildException(
                f"{self.name} can't build {image}: it ended with {returned}.",
                resource=image,
                reason="ToolFailed",
                hint=f"Its last lines tell why; `{self.name} info` tells whether it can work here.",
                log_tail="\n".join(tail),
            )


def find_tool() -> Tool | None:
    """Returns the first of `TOOLS` that is here."""
    found = ((name, shutil.which(name)) for name in TOOLS)
    return next((Tool(name, path) for name, path in found if path), None)


def _as_docker_writes(login: str) -> str:
    """Returns a ``config.json`` whose users and passwords are where tools look for them.

    Kubernetes and we know a user and a password that stand there as such, the tools don't.
    """
    config = json.loads(login)
    for entry in (config.get("auths") or {}).values():
        user, password = entry.get("username"), entry.get("password")
        if user and password and not entry.get("auth"):
            entry["auth"] = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps(config)


def _fill(place: Path, context: Context) -> None:
    place.mkdir()
    for path, file in sorted(context.files.items()):
        target = place / path
        if file.folder:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.location, target)
            os.chmod(target, file.mode)  # noqa: PTH101
