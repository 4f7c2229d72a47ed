"""Why a container waits and won't start: a pure function of its status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kaptain_kfp.cluster.base import Manifest
from kaptain_kfp.exceptions import (
    ContainerConfigurationError,
    ImagePullError,
    InitContainerError,
    KaptainError,
)

from .endings import container_error
from .pods import name_of, spec_of_container, state_of
from .trouble import Trouble

__all__ = ["container_trouble"]

_PULLING = (
    *("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"),
    *("ErrImageNeverPull", "InvalidImageName", "SignatureValidationFailed"),
)
_CREATING = {
    "CreateContainerConfigError": "isn't configured",
    "CreateContainerError": "can't be made",
    "RunContainerError": "can't be started",
}
_PASSING = re.compile(r"context deadline exceeded|is reserved for|Unavailable|connection refused")
"""What a container runtime under load says; it comes round."""

_DENIED = r"\b40[13]\b|unauthorized|forbidden|denied|authentication required|no basic auth"
_IMAGE_RULES = (
    (r"no match for platform|no matching manifest", "ImagePlatform", "no node's processor fits it"),
    (r"toomanyrequests|\b429\b", "ImagePull", "the registry allows no more pulls for now"),
    (_DENIED, "ImageDenied", "the registry doesn't let it be pulled"),
    (r"manifest unknown|not found|name unknown|does not exist", "ImageNotFound", "isn't there"),
    (r"x509|certificate", "ImagePull", "the node doesn't trust the registry's certificate"),
    (r"no such host|timeout|connection|dial tcp", "ImagePull", "the registry can't be reached"),
)
_IMAGE_HINTS = {
    "ImagePlatform": "Build it for the nodes' processor: see base_image.",
    "ImageDenied": "See that the registry Secret is right and that the pods name it.",
    "ImageNotFound": "Build it again: model.build(); and see that nobody deletes it.",
    "ImagePull": "See that the nodes reach the registry.",
    "ImageName": "Correct image_name.",
    "ImageNever": "Build the image again: model.build().",
}


def container_trouble(
    pod: Manifest, container: Mapping[str, Any], main: str, *, init: bool
) -> Trouble | None:
    """Returns why a container of a pod waits in vain, or None while all is well.

    Args:
        pod: The pod.
        container: The container's status.
        main: The container that trains.
        init: Whether it is one that runs before the others.
    """
    waiting = state_of(container, "waiting")
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message") or "")
    if reason in _PULLING:
        return _image_trouble(pod, container, reason, message)
    if reason in _CREATING:
        return _creation_trouble(pod, container, reason, message)
    if reason == "CrashLoopBackOff":
        return _crash_loop(pod, container, main, init=init)
    return None


def _image_trouble(
    pod: Manifest, container: Mapping[str, Any], reason: str, message: str
) -> Trouble:
    spec = spec_of_container(pod, str(container.get("name", "")))
    image = str(spec.get("image") or container.get("image") or "its image")
    detail = re.sub(r'^Back-off pulling image "[^"]*"(: )?', "", message)
    detail = re.sub(r"^(ErrImagePull: )?(rpc error: code = \w+ desc = )?", "", detail).strip()
    name, problem = _image_problem(reason, detail)
    secrets = [str(s.get("name")) for s in (pod.get("spec") or {}).get("imagePullSecrets") or ()]
    by = f"with the Secret {', '.join(secrets)}" if secrets else "without a registry Secret"
    hint = _IMAGE_HINTS[name]
    if container.get("name") == "init-pytorch":
        hint = "The Training Operator's init container needs it: mirror it to where nodes reach it."
    error = ImagePullError(
        f"Pod {name_of(pod)} can't get the image {image} ({by}): {detail or problem}",
        resource=f"Pod/{name_of(pod)}",
        reason=reason,
        hint=hint,
    )
    short = f"image {image} can't be pulled: {problem}"
    return Trouble("Image", name, short, error, vague=not detail)


def _image_problem(reason: str, detail: str) -> tuple[str, str]:
    if reason == "InvalidImageName":
        return "ImageName", "its name isn't valid"
    if reason == "ErrImageNeverPull":
        return "ImageNever", "it isn't on the node"
    for pattern, name, problem in _IMAGE_RULES:
        if re.search(pattern, detail, re.I):
            return name, problem
    return "ImagePull", detail or "the node tries again"


def _creation_trouble(
    pod: Manifest, container: Mapping[str, Any], reason: str, message: str
) -> Trouble:
    what = f"container {container.get('name')} of pod {name_of(pod)} {_CREATING[reason]}"
    error = ContainerConfigurationError(
        f"The {what} ({reason}): {message or 'no message'}",
        resource=f"Pod/{name_of(pod)}",
        reason=reason,
        hint=_creation_hint(reason, message),
    )
    name = "Configuration" if reason == "CreateContainerConfigError" else "Creation"
    if name == "Configuration" and re.search(r'secrets? "[^"]*" not found', message):
        name = "MissingSecret"
    elif _PASSING.search(message):
        name = "Runtime"
    return Trouble("Creation", name, f"{what}: {message}", error)


def _creation_hint(reason: str, message: str) -> str:
    if "runAsNonRoot" in message or "run as root" in message:
        return "The namespace allows no root: have the base image name a user by number (USER)."
    if "executable file not found" in message or "no such file" in message:
        return "See that the image has the program that it is to run."
    if reason == "CreateContainerConfigError":
        return "Make what it refers to, then run again."
    return "See the message, and the node's disk and permissions."


def _crash_loop(pod: Manifest, container: Mapping[str, Any], main: str, *, init: bool) -> Trouble:
    """Returns that a container crashes again and again; its last end tells why."""
    last = (container.get("lastState") or {}).get("terminated") or {}
    name, times = str(container.get("name", "")), int(container.get("restartCount", 0))
    who, facts = f"Pod/{name_of(pod)}", {"resource": f"Pod/{name_of(pod)}"}
    error: KaptainError = container_error(pod, who, main, name, last, facts)
    if init:
        error = InitContainerError(error.message, hint="See the log of that container.", **facts)
    error.message += f" It was started {times + 1} times."
    error.reason = "CrashLoopBackOff"
    return Trouble("CrashLoop", "CrashLoop", error.message, error)
