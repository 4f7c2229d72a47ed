"""Whether what tests leave behind, print and log tells a secret that it mustn't."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from kaptain_kfp.testing.leaks import Leaks
from kaptain_kfp.testing.s3 import S3_KEYS

# not as a whole: some tests copy this module into what is searched
REGISTRY_PASSWORD = "-".join(("kaptain", "registry", "password"))
KFP_TOKEN = "-".join(("kaptain", "pipelines", "token"))
KUBERNETES_TOKEN = "-".join(("kaptain", "kubernetes", "token"))

SECRETS = (*S3_KEYS, REGISTRY_PASSWORD, KFP_TOKEN, KUBERNETES_TOKEN)
"""What tests open stores, registries and APIs with: it must be nowhere that it doesn't belong."""

LEAKS = Leaks(*SECRETS)

_PODS_OWN = ("launch.json", "volumes")
"""What a pod that runs is given, for nobody else to read."""


def left_in(*places: Path) -> list[str]:
    """Returns what tells a secret in the folders of tests: files, and objects of local worlds."""
    homes = LEAKS.homes(*places)
    kinds = [
        f"{home}: a {kind}" for home, found in homes.items() for kind in sorted(found - {"Secret"})
    ]
    files = LEAKS.files(*places)
    return [*kinds, *(str(path) for path in files if not _belongs(path, homes))]


def _belongs(path: Path, homes: Iterable[Path]) -> bool:
    """Returns whether a file is given a secret, which nobody else can read in it."""
    private = False
    with suppress(FileNotFoundError):
        private = stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    return private and any(_is_of_a_pod(path, home) for home in homes)


def _is_of_a_pod(path: Path, home: Path) -> bool:
    if not path.is_relative_to(home):
        return False
    parts = path.relative_to(home).parts
    return parts[0] == "pods" and bool(set(_PODS_OWN) & set(parts))
