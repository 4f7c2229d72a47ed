"""The image that pipeline steps run in: this very package on a base with Python."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from kaptain_kfp.exceptions import ConfigurationError
from kaptain_kfp.image.builder import Log, NewLayer, build_image
from kaptain_kfp.image.checksum import parse_image_name
from kaptain_kfp.image.digests import ArchiveFile, Listing, open_stable
from kaptain_kfp.image.layers.config import with_variables
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.paths import SITE_PACKAGES, entry_path
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan, folders_above
from kaptain_kfp.image.oci import Platform, canonical_json, sha256_digest
from kaptain_kfp.image.plain import PlainRecipe
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.walk import list_files
from kaptain_kfp.image.wheel_target import wheel_target
from kaptain_kfp.image.wheels import install_wheels
from kaptain_kfp.specs import BuiltImage, ImageSpec
from kaptain_kfp.version import __version__

__all__ = ["ComponentImage", "component_image_name"]

_DISTRIBUTION = "kaptain-kfp"
_PACKAGE = Path(__file__).resolve().parents[1]
_USER = "1000:1000"
_ROOT_USERS = ("", "root", "0")
_COMMAND = ["python", "-m", "kaptain_kfp.cli", "--help"]


@dataclass(frozen=True)
class ComponentImage:
    """The component image of this version, released or not: of the files that run now.

    Attributes:
        name: Repository with tag.
        base_image: An image with a Python that this package supports.
        platform: What it runs on.
        python_version: The base's Python, where its configuration doesn't tell.
    """

    name: str
    base_image: str
    platform: Platform
    python_version: str | None = None

    def build(
        self,
        client: RegistryClient,
        scratch: Path,
        log: Log,
        *,
        registry_url: str | None = None,
        refresh_base: bool = False,
    ) -> BuiltImage:
        """Builds and pushes it, unless it is there.

        Args:
            client: Registries.
            scratch: Where new layers lie until they are pushed.
            log: Gets a line for each step, and the output of pip.
            registry_url: The registry of a name that names none; by default the public hub.
            refresh_base: Whether to look what the base's name stands for by now.

        Raises:
            ConfigurationError: The package runs without being installed, so that nobody knows what
                it needs.
            ImageBuildException: Something that it needs can't be installed, or a registry refused
                or can't be reached.
        """
        installed = _installed()
        needs = _needs(installed)
        files = list_files(_PACKAGE, _PACKAGE.name, str(_PACKAGE), ".", _PACKAGE)

        def layers(base: RemoteImage, folder: Path) -> Sequence[NewLayer]:
            target = wheel_target(base.config, base.platform, self.python_version)
            listed = folder / "requirements.txt"
            listed.write_text("\n".join(needs) + "\n", encoding="utf-8")
            log(f"Installing what {_DISTRIBUTION} needs, for Python {target.version}.")
            done = install_wheels(listed, folder, target, folder / "installed", log)
            return [requirements_layer(done.packages), _package_layer(files, _metadata(installed))]

        recipe = PlainRecipe(
            ImageSpec(
                name=self.name,
                base_image=self.base_image,
                checksum=self._checksum(needs, files),
            ),
            layers,
            _settings,
            (f"USER {_USER}", f"CMD {json.dumps(_COMMAND)}"),
            platform=self.platform,
        )
        return build_image(
            recipe,
            client,
            scratch=scratch,
            log=log,
            registry_url=registry_url,
            refresh_base=refresh_base,
        )

    def _checksum(self, needs: Sequence[str], files: Sequence[ArchiveFile]) -> str:
        listing = Listing()
        for file in files:
            if not file.folder:
                with open_stable(file) as reader:
                    while reader.read(1 << 20):
                        pass
                listing.add_file(file.path, file.mode, reader.size, reader.sha256)
        content = [self.base_image, self.python_version, __version__, needs, listing.digest]
        return sha256_digest(canonical_json(content)).removeprefix("sha256:")[:32]


def component_image_name(repository: str) -> str:
    """Returns the name of the component image in a repository: its tag is this version's.

    Args:
        repository: With a tag, which stays, or without.

    Raises:
        ModelValidationException: It isn't the name of an image.
    """
    parsed = parse_image_name(repository, field="component_image")
    tag = re.sub(r"[^A-Za-z0-9._-]", "-", __version__)
    return repository if parsed.tag or parsed.digest else f"{repository}:{tag}"


def _installed() -> Distribution:
    try:
        return distribution(_DISTRIBUTION)
    except PackageNotFoundError:
        raise ConfigurationError(
            f"{_DISTRIBUTION} runs from {_PACKAGE.parent} without being installed, so that nobody "
            "knows what it needs.",
            hint=f"pip install -e {_PACKAGE.parent}",
        ) from None


def _needs(installed: Distribution) -> list[str]:
    """Returns the requirements without those of extras, sorted."""
    wanted = map(Requirement, installed.requires or ())
    return sorted(str(item) for item in wanted if "extra ==" not in str(item.marker or ""))


def _metadata(installed: Distribution) -> bytes:
    told = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    return told.encode()


def _package_layer(files: Sequence[ArchiveFile], metadata: bytes) -> LayerPlan:
    place = entry_path(SITE_PACKAGES, _PACKAGE.name)
    info = entry_path(SITE_PACKAGES, f"{_PACKAGE.name}-{__version__}.dist-info")
    entries = [
        LayerEntry(entry_path(place, file.path), file.mode, None if file.folder else file)
        for file in files
    ]
    entries += [
        LayerEntry(f"{info}/INSTALLER", 0o644, b"kaptain\n"),
        LayerEntry(f"{info}/METADATA", 0o644, metadata),
    ]
    known = {entry.path for entry in entries}
    above = [
        folder for folder in folders_above(known, "opt/kaptain", 0o755) if folder.path not in known
    ]
    return LayerPlan(f"{_DISTRIBUTION} {__version__} in {SITE_PACKAGES}", (*above, *entries))


def _settings(settings: dict[str, Any]) -> None:
    settings["Env"] = with_variables(settings.get("Env"), {"HOME": "/tmp", "PYTHONUNBUFFERED": "1"})
    settings["WorkingDir"] = "/tmp"
    if str(settings.get("User") or "").partition(":")[0] in _ROOT_USERS:
        settings["User"] = _USER
    # the steps of a pipeline bring their own command
    settings.pop("Entrypoint", None)
    settings["Cmd"] = _COMMAND
