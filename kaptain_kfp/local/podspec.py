"""From a Pod manifest to the process that this machine starts for it: pure functions.

A container gets what Kubernetes would give it, as far as a process can have it: its own folder with
the image's code, its environment (with Secrets and fields resolved), ``$(NAME)`` expanded in
command and arguments. A volume is a folder of its own; where command, arguments or environment name
its mount path, they are given the folder's path instead (see `podvolumes`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaptain_kfp import quantities
from kaptain_kfp.exceptions import ModelValidationException

from .devices import VISIBLE_VARIABLE, assigned
from .podvolumes import ConfigurationTrouble, Lookup, content_of, volumes_of

__all__ = ["HOST_IMAGE", "INHERITED", "ConfigurationTrouble", "Launch", "launch_of", "refers_to"]

HOST_IMAGE = "kaptain.local/host"
"""The image of pods that bring their own interpreter in `command` and need no code folder."""

INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_.*|XDG_.*"
    r"|SSL_CERT_.*|(REQUESTS|CURL|AWS)_CA_BUNDLE|(?i:https?_proxy|no_proxy|all_proxy)"
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
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_FIELD_OF_MAP = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName")
_OWN_ADDRESS = ("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs")
_REFERENCES = (("secretRef", "Secret"), ("configMapRef", "ConfigMap"))
_KEY_REFERENCES = (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap"))


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
    # with what its Secrets hold
    environment: Mapping[str, str] = field(repr=False)
    files: Mapping[Path, bytes] = field(repr=False, default_factory=dict)
    folders: tuple[Path, ...] = ()


def launch_of(
    pod: Mapping[str, Any],
    folder: Path,
    lookup: Lookup,
    *,
    entrypoint: tuple[str, ...],
    inherited: Mapping[str, str],
    image_environment: Mapping[str, str],
    container: Mapping[str, Any] | None = None,
) -> Launch:
    """Resolves a container of a pod.

    Args:
        pod: The manifest.
        folder: The pod's own folder.
        lookup: Reads Secrets and ConfigMaps.
        entrypoint: The image's, for containers without command.
        inherited: The machine's environment; filtered by `INHERITED`.
        image_environment: What the image sets.
        container: Which of them; by default the first of those that do its work.

    Raises:
        ConfigurationTrouble: A Secret, ConfigMap, key, field or volume is missing; a variable,
            a word of the command or the CPU limit can't be what it says.
    """
    container = container or pod["spec"]["containers"][0]
    volumes = volumes_of(pod, container, folder / "volumes", lookup)
    environment = {name: value for name, value in inherited.items() if INHERITED.fullmatch(name)}
    environment.update(image_environment)
    environment.update(_threads(container))
    environment.update(_devices(pod, container))
    own = _environment(pod, container, lookup)
    environment.update({name: volumes.localise(value) for name, value in own.items()})
    # Expanded by the container's own variables only, as Kubernetes does, which knows no others.
    expanded = [_expand(str(word), own) for word in container.get("command") or ()] or entrypoint
    args = [_expand(str(word), own) for word in container.get("args") or ()]
    command = tuple(volumes.localise(word) for word in (*expanded, *args))
    _check(command, environment)
    return Launch(command, environment, volumes.files, volumes.folders)


def refers_to(container: Mapping[str, Any]) -> str | None:
    """Returns the image whose code a container runs, None where it brings its own program."""
    image = str(container.get("image", HOST_IMAGE))
    return None if image == HOST_IMAGE else image


def _environment(
    pod: Mapping[str, Any], container: Mapping[str, Any], lookup: Lookup
) -> dict[str, str]:
    environment: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix", "")
        for reference, kind in _REFERENCES:
            if reference in source:
                found = content_of(kind, source[reference], lookup)
                environment.update({prefix + key: _text(value) for key, value in found.items()})
    for variable in container.get("env") or ():
        name = variable["name"]
        if variable.get("valueFrom"):
            value = _value_from(pod, variable["valueFrom"], lookup)
            if value is not None:
                environment[name] = value
        else:
            environment[name] = _expand(str(variable.get("value", "")), environment)
    return environment


def _value_from(pod: Mapping[str, Any], source: Mapping[str, Any], lookup: Lookup) -> str | None:
    for reference, kind in _KEY_REFERENCES:
        if reference in source:
            selector = source[reference]
            found = content_of(kind, selector, lookup)
            if selector["key"] in found:
                return _text(found[selector["key"]])
            if selector.get("optional"):
                return None
            raise ConfigurationTrouble(
                f"couldn't find key {selector['key']} in {kind} {selector['name']}"
            )
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    raise ConfigurationTrouble(f"valueFrom {sorted(source)} isn't supported on this machine")


def _field(pod: Mapping[str, Any], path: str) -> str:
    match = _FIELD_OF_MAP.fullmatch(path)
    if match:
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in _FIELDS:
        part, name = path.split(".")
        return str(pod[part].get(name, ""))
    if path == "spec.serviceAccountName":
        return str(pod["spec"].get("serviceAccountName", "default"))
    if path in _OWN_ADDRESS:
        return "127.0.0.1"
    raise ConfigurationTrouble(f"fieldPath {path!r} isn't supported on this machine")


def _text(value: bytes) -> str:
    """Returns bytes in the form in which Python gives them to a process unchanged."""
    return value.decode(errors="surrogateescape")


def _check(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Refuses what no process can be given; says names only, since values may be secrets."""
    if not command:
        raise ConfigurationTrouble("no command specified")
    if any("\0" in word for word in command):
        raise ConfigurationTrouble("a word of the command has a NUL character")
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name:
            raise ConfigurationTrouble(f"{name!r} can't be the name of a variable")
        if "\0" in value:
            raise ConfigurationTrouble(f"the value of the variable {name} has a NUL character")


def _expand(text: str, environment: Mapping[str, str]) -> str:
    """Expands ``$(NAME)`` as Kubernetes does: unknown names stay, ``$$`` is a dollar sign."""
    return _REFERENCE.sub(
        lambda match: "$" if match[0] == "$$" else environment.get(match[1], match[0]), text
    )


def _devices(pod: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
    """Shows a pod its own devices only; a pod that brings its own program isn't kept from any."""
    given = assigned(pod)
    return {VISIBLE_VARIABLE: ",".join(given)} if given or refers_to(container) else {}


def _threads(container: Mapping[str, Any]) -> dict[str, str]:
    """Turns a CPU limit into the thread counts of the numeric libraries."""
    limit = ((container.get("resources") or {}).get("limits") or {}).get("cpu")
    if limit is None:
        return {}
    try:
        cpus = quantities.parse(limit, field="resources.limits.cpu")
    except ModelValidationException as error:
        raise ConfigurationTrouble(error.message) from None
    return dict.fromkeys(_THREAD_VARIABLES, str(max(1, math.ceil(cpus))))
