"""From a Pod manifest to the process that this machine starts for it: pure functions.

A container gets what Kubernetes would give it, as far as a process can have it: its own folder with
the image's code, its environment (with Secrets and fields resolved), ``$(NAME)`` expanded in
command and arguments. A volume is a folder of its own; where command, arguments or environment name
its mount path, they are given the folder's path instead.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaptain_kfp.exceptions import ObjectNotFoundError

__all__ = ["HOST_IMAGE", "INHERITED", "ConfigurationTrouble", "Launch", "launch_of", "refers_to"]

HOST_IMAGE = "kaptain.local/host"
"""The image of pods that bring their own interpreter in `command` and need no code folder."""

INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|DYLD_.*|XDG_.*"
    r"|SSL_CERT_.*|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:https?_proxy|no_proxy|all_proxy)"
    r"|CUDA_(HOME|PATH).*|NVIDIA_.*|PIP_.*|UV_.*|PYTHONDONTWRITEBYTECODE"
)
"""What a process needs of the machine's environment; all else would leak from one into another."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.][A-Za-z0-9_.-]*)\)")

Lookup = Callable[[str, str], dict[str, Any]]
"""(kind, name) → the object in the pod's namespace; raises ObjectNotFoundError."""


class ConfigurationTrouble(Exception):
    """The container can't be configured: what Kubernetes calls CreateContainerConfigError."""


@dataclass(frozen=True)
class Launch:
    """A process to start.

    Attributes:
        command: Program and arguments; without an own command, those of the image come first.
        environment: The whole environment.
        files: Content of files to make (Secrets, ConfigMaps), mode 0600, by path.
        folders: Empty folders to make.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[Path, bytes] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()


def launch_of(
    pod: Mapping[str, Any],
    folder: Path,
    lookup: Lookup,
    *,
    entrypoint: tuple[str, ...],
    inherited: Mapping[str, str],
    image_environment: Mapping[str, str],
) -> Launch:
    """Resolves the first container of a pod.

    Args:
        pod: The manifest.
        folder: The pod's own folder.
        lookup: Reads Secrets and ConfigMaps.
        entrypoint: The image's, for containers without command.
        inherited: The machine's environment; filtered by `INHERITED`.
        image_environment: What the image sets.

    Raises:
        ConfigurationTrouble: A Secret, ConfigMap, key or field is missing.
    """
    container = pod["spec"]["containers"][0]
    mounts, files, folders = _volumes(pod, container, folder, lookup)
    environment = {name: value for name, value in inherited.items() if INHERITED.fullmatch(name)}
    environment.update(image_environment)
    environment.update(_threads(container))
    own = _environment(pod, container, lookup)
    environment.update({name: _localise(value, mounts) for name, value in own.items()})
    command = [*(container.get("command") or entrypoint), *(container.get("args") or ())]
    expanded = tuple(_localise(_expand(word, environment), mounts) for word in command)
    return Launch(expanded, environment, files, folders)


def refers_to(pod: Mapping[str, Any]) -> str | None:
    """Returns the image whose code the pod runs, or None where it brings its own program."""
    image = str(pod["spec"]["containers"][0].get("image", HOST_IMAGE))
    return None if image == HOST_IMAGE else image


def _environment(
    pod: Mapping[str, Any], container: Mapping[str, Any], lookup: Lookup
) -> dict[str, str]:
    environment: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        prefix = source.get("prefix", "")
        for reference, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if reference in source:
                found = _content(kind, source[reference], lookup)
                environment.update({prefix + key: text.decode() for key, text in found.items()})
    for variable in container.get("env", ()):
        name = variable["name"]
        if "valueFrom" in variable:
            value = _value_from(pod, variable["valueFrom"], lookup)
            if value is not None:
                environment[name] = value
        else:
            environment[name] = _expand(str(variable.get("value", "")), environment)
    return environment


def _value_from(pod: Mapping[str, Any], source: Mapping[str, Any], lookup: Lookup) -> str | None:
    for reference, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if reference in source:
            selector = source[reference]
            found = _content(kind, selector, lookup)
            if selector["key"] in found:
                return found[selector["key"]].decode()
            if selector.get("optional"):
                return None
            raise ConfigurationTrouble(
                f"couldn't find key {selector['key']} in {kind} {selector['name']}"
            )
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    raise ConfigurationTrouble(f"valueFrom {sorted(source)} isn't supported on this machine")


def _field(pod: Mapping[str, Any], path: str) -> str:
    match = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if match:
        return str(pod["metadata"].get(match[1], {}).get(match[2], ""))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return str(value)


def _content(kind: str, reference: Mapping[str, Any], lookup: Lookup) -> dict[str, bytes]:
    """Returns the entries of a Secret or ConfigMap."""
    name = reference.get("name") or reference.get("secretName") or ""
    try:
        found = lookup(kind, name)
    except ObjectNotFoundError:
        if reference.get("optional"):
            return {}
        raise ConfigurationTrouble(f'{kind.lower()} "{name}" not found') from None
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return {key: value.encode() for key, value in (found.get("data") or {}).items()}


def _volumes(
    pod: Mapping[str, Any], container: Mapping[str, Any], folder: Path, lookup: Lookup
) -> tuple[dict[str, str], dict[Path, bytes], tuple[Path, ...]]:
    """Returns mount path → local folder, the files in them, and the folders to make."""
    mounts: dict[str, str] = {}
    files: dict[Path, bytes] = {}
    folders: list[Path] = []
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", ())}
    for mount in container.get("volumeMounts", ()):
        volume = volumes.get(mount["name"])
        if volume is None:
            raise ConfigurationTrouble(f'volume "{mount["name"]}" is not defined')
        place = folder / "volumes" / volume["name"]
        if place not in folders:
            folders.append(place)
            files.update(_volume_files(volume, place, lookup))
        mounts[mount["mountPath"].rstrip("/")] = str(place)
    return mounts, files, tuple(folders)


def _volume_files(volume: Mapping[str, Any], place: Path, lookup: Lookup) -> dict[Path, bytes]:
    for source, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        if source in volume:
            content = _content(kind, volume[source], lookup)
            items = volume[source].get("items")
            if items:
                return {place / item["path"]: content[item["key"]] for item in items}
            return {place / key: text for key, text in content.items()}
    if "emptyDir" in volume:
        return {}
    raise ConfigurationTrouble(
        f'volume "{volume["name"]}" of kind {sorted(set(volume) - {"name"})} isn\'t supported here'
    )


def _localise(text: str, mounts: Mapping[str, str]) -> str:
    """Puts the local folder in place of a mount path that `text` is, or begins with."""
    for path, place in mounts.items():
        if text == path or text.startswith(path + "/"):
            return place + text[len(path) :]
    return text


def _expand(text: str, environment: Mapping[str, str]) -> str:
    """Expands ``$(NAME)`` as Kubernetes does: unknown names stay, ``$$`` is a dollar sign."""
    return _REFERENCE.sub(
        lambda match: "$" if match[0] == "$$" else environment.get(match[1], match[0]), text
    )


def _threads(container: Mapping[str, Any]) -> dict[str, str]:
    """Turns a CPU limit into the thread counts of the numeric libraries."""
    limit = container.get("resources", {}).get("limits", {}).get("cpu")
    if limit is None:
        return {}
    text = str(limit)
    cpus = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    return dict.fromkeys(_THREAD_VARIABLES, str(max(1, math.ceil(cpus))))
