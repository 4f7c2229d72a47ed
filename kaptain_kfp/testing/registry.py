"""Real image registries for tests, on ports of this machine.

`serve_registry` is the program ``docker-registry`` (Debian's package of the same name); users with
passwords need ``htpasswd``, too (package ``apache2-utils``).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RegistryServer", "TokenAuth", "missing_programs", "serve_registry"]

_STARTED = re.compile(r"listening on ((?:127\.0\.0\.1|\[::1\]):\d+)")
_STARTING_SECONDS = 30.0
_LEAVING_SECONDS = 10.0


@dataclass(frozen=True)
class TokenAuth:
    """The token server that a registry believes.

    Attributes:
        realm: Its URL.
        service: What the registry calls itself there.
        issuer: What the token server calls itself.
        certificates: PEM file of the certificates that its tokens are signed by.
    """

    realm: str
    service: str
    issuer: str
    certificates: Path


@dataclass(frozen=True)
class RegistryServer:
    """A registry that runs.

    Attributes:
        host: Host and port, as they stand in image names.
        endpoint: Its URL, without a slash at the end.
        folder: Where its images lie.
        process: The program, for tests that end it.
    """

    host: str
    endpoint: str
    folder: Path
    process: subprocess.Popen[bytes]

    def uploads(self) -> list[Path]:
        """Returns the uploads that are open, or were left behind."""
        # of one that was cancelled its empty folder stays
        return [place.parent for place in self.folder.rglob("_uploads/*/data")]


def missing_programs(*more: str) -> list[str]:
    """Returns which of the programs that a registry for tests needs aren't here, and of `more`."""
    return [name for name in ("docker-registry", "htpasswd", *more) if shutil.which(name) is None]


@contextmanager
def serve_registry(
    folder: Path,
    *,
    htpasswd: Mapping[str, str] | None = None,
    certificate: tuple[Path, Path] | None = None,
    token: TokenAuth | None = None,
    read_only: bool = False,
    address: str = "127.0.0.1:0",
) -> Iterator[RegistryServer]:
    """Serves a folder of images as long as the context lasts; it answers from the first moment on.

    Args:
        folder: Where the images are. The server's settings and log are written beside it.
        htpasswd: Passwords by user; by default nobody needs any.
        certificate: PEM files of a certificate and its key, to speak TLS with; by default it
            doesn't.
        token: The token server that it sends everybody to.
        read_only: Whether nobody may push.
        address: Where it listens; by default on a free port.

    Raises:
        FileNotFoundError: A program is missing.
        RuntimeError: It ended at once.
        TimeoutError: It said nothing for 30 seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(folder, address, read_only)
    if htpasswd:
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(_users(folder, htpasswd))}}
    if token:
        settings["auth"] = {"token": _token_settings(token)}
    if certificate:
        files = {"certificate": str(certificate[0]), "key": str(certificate[1])}
        settings["http"]["tls"] = files
    file = folder.with_name(f"{folder.name}.yml")
    # JSON is YAML
    file.write_text(json.dumps(settings), encoding="utf-8")
    log = folder.with_name(f"{folder.name}.log")
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        host = _host(process, log)
        scheme = "https" if certificate else "http"
        yield RegistryServer(host, f"{scheme}://{host}", folder, process)
    finally:
        process.terminate()
        try:
            process.wait(_LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(folder: Path, address: str, read_only: bool) -> dict[str, Any]:
    return {
        "version": 0.1,
        "storage": {
            "filesystem": {"rootdirectory": str(folder)},
            "delete": {"enabled": True},
            "maintenance": {"readonly": {"enabled": read_only}},
        },
        # uploads go on after a restart
        "http": {"addr": address, "secret": "kaptain-test"},
        # of layers that aren't pushed
        "validation": {"manifests": {"urls": {"allow": [".*"]}}},
    }


def _token_settings(token: TokenAuth) -> dict[str, str]:
    return {
        "realm": token.realm,
        "service": token.service,
        "issuer": token.issuer,
        "rootcertbundle": str(token.certificates),
    }


def _users(folder: Path, passwords: Mapping[str, str]) -> Path:
    file = folder.with_name(f"{folder.name}.htpasswd")
    lines = [
        subprocess.run(
            ["htpasswd", "-niBC", "4", user],
            input=password,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for user, password in passwords.items()
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _host(process: subprocess.Popen[bytes], log: Path) -> str:
    """Returns where the server says that it listens; it does so already then."""
    deadline = time.monotonic() + _STARTING_SECONDS
    while True:
        ended = process.poll() is not None
        said = log.read_text(encoding="utf-8")
        if started := _STARTED.search(said):
            return started[1]
        if ended:
            raise RuntimeError(f"docker-registry ended with {process.returncode}: {said}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"docker-registry doesn't start: {said}")
        time.sleep(0.01)
