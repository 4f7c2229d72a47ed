"""A step's Kubernetes settings (``kfp.kubernetes``) as the pod that it would run in: pure.

Of what `kfp.kubernetes` compiles into the platform spec, a process of this machine can have Secrets
and ConfigMaps as environment and as files, empty folders, and fields of the pod as environment.
Claims of persistent volumes are refused. Where a pod would run (node selectors, tolerations,
images, resources) means nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

__all__ = ["NAMED", "executors_of", "needs_pod", "pod_of", "with_names"]

NAMED = ("secretName", "configMapName")
"""What may be given as a parameter of the pipeline: under this name with ``Parameter`` after it."""

_SETTINGS = (
    *("secretAsEnv", "secretAsVolume", "configMapAsEnv", "configMapAsVolume"),
    *("emptyDirMounts", "fieldPathAsEnv", "pvcMount"),
)
_AS_ENVIRONMENT = (
    ("secretAsEnv", "secretName", "secretKey", "secretKeyRef"),
    ("configMapAsEnv", "configMapName", "configMapKey", "configMapKeyRef"),
)


def executors_of(platform: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, Any]]:
    """Returns the Kubernetes settings of each executor (``exec-…``) in a platform spec."""
    kubernetes = ((platform or {}).get("platforms") or {}).get("kubernetes") or {}
    executors: Mapping[str, Any] = (kubernetes.get("deploymentSpec") or {}).get("executors") or {}
    return executors


def needs_pod(settings: Mapping[str, Any]) -> bool:
    """Returns whether there is anything among the settings that a step of this machine can have."""
    return any(settings.get(name) for name in _SETTINGS)


def with_names(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings with the names that came as parameters put in.

    Args:
        settings: The settings; a name that is a parameter stands as ``{"input": <parameter>}``.
        values: The values of the step's parameters.
    """
    made = deepcopy(dict(settings))
    for key in _SETTINGS:
        for entry in made.get(key, ()):
            for name in NAMED:
                source = entry.pop(f"{name}Parameter", None)
                if source is not None:
                    entry[name] = str(values[source["input"]])
    return made


def pod_of(
    settings: Mapping[str, Any], command: Sequence[str], name: str, namespace: str
) -> dict[str, Any]:
    """Returns the pod that the step would run in.

    Args:
        settings: Its settings, with names (see `with_names`).
        command: Its words, as they are: nothing in them is expanded.
        name: What the pod is called.
        namespace: Where it is.
    """
    volumes = list(_volumes(settings))
    podmeta = settings.get("podMetadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(podmeta.get("labels") or {}),
            "annotations": dict(podmeta.get("annotations") or {}),
        },
        "spec": {
            "volumes": [volume for volume, _ in volumes],
            "containers": [
                {
                    "name": "main",
                    "command": [word.replace("$", "$$") for word in command],
                    "env": list(_environment(settings)),
                    "volumeMounts": [
                        {"name": volume["name"], "mountPath": path} for volume, path in volumes
                    ],
                }
            ],
        },
    }


def _environment(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, named, key_of, reference in _AS_ENVIRONMENT:
        for entry in settings.get(key, ()):
            for pair in entry.get("keyToEnv", ()):
                source = {
                    "name": entry[named],
                    "key": pair[key_of],
                    "optional": bool(entry.get("optional")),
                }
                yield {"name": pair["envVar"], "valueFrom": {reference: source}}
    for entry in settings.get("fieldPathAsEnv", ()):
        source = {"fieldPath": entry["fieldPath"]}
        yield {"name": entry["name"], "valueFrom": {"fieldRef": source}}


def _volumes(settings: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields each volume with the path that it is mounted at."""
    number = 0
    for key, source in (
        ("secretAsVolume", _secret),
        ("configMapAsVolume", _config_map),
        ("emptyDirMounts", _empty),
        ("pvcMount", _claim),
    ):
        for entry in settings.get(key, ()):
            yield {"name": f"volume-{number}", **source(entry)}, entry["mountPath"]
            number += 1


def _secret(entry: Mapping[str, Any]) -> dict[str, Any]:
    optional = bool(entry.get("optional"))
    return {"secret": {"secretName": entry["secretName"], "optional": optional}}


def _config_map(entry: Mapping[str, Any]) -> dict[str, Any]:
    optional = bool(entry.get("optional"))
    return {"configMap": {"name": entry["configMapName"], "optional": optional}}


def _empty(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"emptyDir": {}}


def _claim(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"persistentVolumeClaim": {}}
