"""The volumes of a pod as folders of this machine, and what their mount paths become: pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from kaptain_kfp.exceptions import ObjectNotFoundError

__all__ = ["ConfigurationTrouble", "Lookup", "Volumes", "content_of", "volumes_of"]

Lookup = Callable[[str, str], Mapping[str, Any]]
"""(kind, name) → the object in the pod's namespace; raises ObjectNotFoundError."""


class ConfigurationTrouble(Exception):
    """The container can't be configured: what Kubernetes calls CreateContainerConfigError."""


@dataclass(frozen=True)
class Volumes:
    """The volumes that a container mounts.

    Attributes:
        mounts: Mount path → the place that stands for it.
        files: Content of files to make, by path.
        folders: Folders to make.
    """

    mounts: Mapping[str, Path] = field(default_factory=dict)
    files: Mapping[Path, bytes] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

    def localise(self, text: str) -> str:
        """Puts the local places in place of the mount paths that a text names.

        A path is named where it begins the text or follows what can't belong to a path, as in
        ``--data=/mnt/data`` or ``file:///mnt/data``, and ends there or goes on with a slash.
        """
        if not self.mounts:
            return text
        longest_first = sorted(self.mounts, key=len, reverse=True)
        paths = "|".join(re.escape(path) for path in longest_first)
        pattern = rf"(?:(?<=file://)|(?<![\w./~-]))({paths})(?=/|$|[^\w.-])"
        return re.sub(pattern, lambda match: str(self.mounts[match[1]]), text)


def volumes_of(
    pod: Mapping[str, Any], container: Mapping[str, Any], folder: Path, lookup: Lookup
) -> Volumes:
    """Returns what a container mounts.

    Args:
        pod: The pod.
        container: One of its containers.
        folder: Where the volumes go, a folder each.
        lookup: Reads Secrets and ConfigMaps.

    Raises:
        ConfigurationTrouble: A volume, Secret, ConfigMap or key is missing, or can't be had here.
    """
    mounts: dict[str, Path] = {}
    files: dict[Path, bytes] = {}
    folders: dict[Path, None] = {}
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        volume = volumes.get(mount["name"])
        if volume is None:
            raise ConfigurationTrouble(f'volume "{mount["name"]}" is not defined')
        path = mount["mountPath"].rstrip("/")
        if not path.startswith("/"):
            raise ConfigurationTrouble(f'mountPath "{mount["mountPath"]}" is no folder\'s path')
        place = _within(folder, volume["name"])
        if place not in folders:
            folders[place] = None
            files.update(_files(volume, place, lookup))
        mounts[path] = _within(place, mount["subPath"]) if mount.get("subPath") else place
        if mounts[path] not in files:
            folders[mounts[path]] = None
    return Volumes(mounts, files, tuple(folders))


def content_of(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> Mapping[str, bytes]:
    """Returns the entries of a Secret or ConfigMap; none where it may be missing, and is.

    Raises:
        ConfigurationTrouble: It is missing, or an entry isn't base64.
    """
    name = str(reference.get("name") or reference.get("secretName") or "")
    try:
        found = lookup(kind, name)
    except ObjectNotFoundError:
        if reference.get("optional"):
            return {}
        raise ConfigurationTrouble(f'{kind.lower()} "{name}" not found') from None
    encoded, plain = ("data", "stringData") if kind == "Secret" else ("binaryData", "data")
    content = {}
    for key, value in (found.get(encoded) or {}).items():
        try:
            content[key] = base64.b64decode("".join(value.split()), validate=True)
        except ValueError:
            trouble = f'key "{key}" in {kind.lower()} "{name}" is not base64'
            raise ConfigurationTrouble(trouble) from None
    content.update({key: value.encode() for key, value in (found.get(plain) or {}).items()})
    return content


def _files(volume: Mapping[str, Any], place: Path, lookup: Lookup) -> dict[Path, bytes]:
    for source, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if source in volume:
            content = content_of(kind, volume[source], lookup)
            paths = _paths(volume[source], content, kind)
            return {_within(place, path): content[key] for path, key in paths.items()}
    if "emptyDir" in volume:
        return {}
    raise ConfigurationTrouble(
        f'volume "{volume["name"]}" of kind {sorted(set(volume) - {"name"})} isn\'t supported here'
    )


def _paths(source: Mapping[str, Any], content: Mapping[str, bytes], kind: str) -> Mapping[str, str]:
    """Returns path → key of the entries that a volume shows."""
    if not source.get("items"):
        return {key: key for key in content}
    paths = {}
    for item in source["items"]:
        if item["key"] in content:
            paths[item["path"]] = item["key"]
        elif not source.get("optional"):
            name = source.get("name") or source.get("secretName")
            raise ConfigurationTrouble(
                f'{kind.lower()} "{name}" has no key "{item["key"]}", which a volume shows'
            )
    return paths


def _within(folder: Path, path: str) -> Path:
    """Returns a path below a folder; nothing may lead out of it."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or "/" in parts or "\0" in path:
        raise ConfigurationTrouble(f"the path {path!r} leads out of its volume")
    return folder.joinpath(*parts)
