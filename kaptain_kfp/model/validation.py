"""What can be known to be wrong before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kaptain_kfp import envs
from kaptain_kfp.exceptions import (
    InvalidModelProperty,
    ModelValidationException,
    UndefinedModelProperty,
)
from kaptain_kfp.specs import PodSpec, PolicySpec, ResourcesSpec

from .pods import PodOptions
from .resources import Resources
from .values import check_flag, to_text

__all__ = [
    "check_gpus",
    "checked_arguments",
    "checked_pod",
    "checked_policy",
    "checked_resources",
    "checked_switch",
    "checked_workers",
    "defined",
    "require",
]

_T = TypeVar("_T")

_MOST_WORKERS = 10_000


def require(name: str, value: object) -> str:
    """Returns a property that must be text.

    Raises:
        UndefinedModelProperty: It is None.
        InvalidModelProperty: It is blank, or no text.
    """
    defined(name, value)
    if not isinstance(value, str):
        raise InvalidModelProperty(
            f"The model property {name} must be text, not {type(value).__name__} ({value!r}).",
            hint=f'Write it as text: {name}="{value}".',
        )
    if not value.strip():
        raise InvalidModelProperty(
            f"The model property {name} is blank.", hint=f"Give it: Model({name}=...)."
        )
    return value


def defined(name: str, value: _T) -> _T:
    """Returns a property that must be given.

    Raises:
        UndefinedModelProperty: It is None.
    """
    if value is None:
        raise UndefinedModelProperty(
            f"The model property {name} is None.", hint=f"Give it: Model({name}=...)."
        )
    return value


def checked_arguments(name: str, values: Mapping[str, Any] | None) -> dict[str, str]:
    """Returns command line flags with their values as text.

    Raises:
        ModelValidationException: A flag or value can't be given on a command line.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ModelValidationException(
            f"{name} must be a dictionary of flags and values, not {values!r}.",
            hint=f'For example {name}={{"--lr": 0.01}}.',
        )
    made = {}
    for flag, value in values.items():
        check_flag(flag)
        made[flag] = to_text(flag, value)
    return made


def checked_resources(
    cpu: object, memory: object, gpus: object, resources: Resources | None
) -> ResourcesSpec:
    """Returns what each replica has.

    Raises:
        ModelValidationException: Both forms were given, or a quantity can't be read.
    """
    simple = {"cpu": cpu, "memory": memory, "gpus": gpus}
    if resources is None:
        return Resources.simple(**simple).to_spec()  # type: ignore[arg-type]
    given = [name for name, value in simple.items() if value is not None]
    if given:
        raise ModelValidationException(
            f"resources was given together with {', '.join(given)}.",
            hint="Give either resources= or cpu=, memory= and gpus=.",
        )
    if not isinstance(resources, Resources):
        raise ModelValidationException(
            f"resources must be a Resources object, not {resources!r}.",
            hint='For example resources=Resources(cpu_request=1, memory_limit="2G").',
        )
    return resources.to_spec()


def checked_workers(workers: object) -> int:
    """Returns the number of replicas.

    Raises:
        ModelValidationException: It isn't a whole number of at least 1.
    """
    return _whole("workers", workers, 1, _MOST_WORKERS)


def checked_switch(name: str, value: object) -> bool:
    """Returns an argument that is on or off.

    Raises:
        ModelValidationException: It is neither True nor False.
    """
    if isinstance(value, bool):
        return value
    raise ModelValidationException(
        f"{name}: {value!r} is neither True nor False.", hint=f"Write {name}=True or leave it out."
    )


def checked_policy(
    timeout: int | None, ttl_seconds_after_finished: int | None, force_cleanup: bool | None
) -> PolicySpec:
    """Returns how long the work may take, and what becomes of it; None asks the environment.

    Raises:
        ModelValidationException: A number is out of range.
    """
    ttl = ttl_seconds_after_finished
    if ttl is None:
        ttl = envs.KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED
    if ttl is not None:
        ttl = _whole("ttl_seconds_after_finished", ttl, 0)
    force = envs.KAPTAIN_SDK_FORCE_CLEANUP if force_cleanup is None else force_cleanup
    limits: dict[str, Any] = (
        {} if timeout is None else {"timeout_seconds": _whole("timeout", timeout, 1)}
    )
    return PolicySpec(ttl_seconds_after_finished=ttl, force_cleanup=bool(force), **limits)


def checked_pod(pod: PodOptions | None) -> PodSpec:
    """Returns what pods get beside resources.

    Raises:
        ModelValidationException: It isn't `PodOptions`.
    """
    if pod is None:
        return PodSpec()
    if not isinstance(pod, PodOptions):
        raise ModelValidationException(
            f"pod must be PodOptions, not {pod!r}.",
            hint='For example pod=PodOptions(node_selector={"accelerator": "a100"}).',
        )
    return pod.spec


def check_gpus(resources: ResourcesSpec, replicas: int, present: Callable[[], int | None]) -> None:
    """Sees that there are as many GPUs as the replicas of a job ask for together.

    Args:
        resources: Of each replica.
        replicas: How many there are at once.
        present: Asks how many GPUs there are; None where only the cluster's scheduler can tell.

    Raises:
        ModelValidationException: There are fewer.
    """
    each = int(resources.gpu_limit or 0)
    there = present() if each else None
    if there is None or each * replicas <= there:
        return
    asked = f"gpus={each}" + (f" for each of {replicas} workers" if replicas > 1 else "")
    raise ModelValidationException(
        f"{asked}: this machine has {there or 'no'} GPU{'s' if there != 1 else ''}.",
        reason="InsufficientGpus",
        hint="Ask for fewer GPUs or workers, or see what nvidia-smi and CUDA_VISIBLE_DEVICES say.",
    )


def _whole(name: str, value: object, least: int, most: int | None = None) -> int:
    integral = isinstance(value, int) and not isinstance(value, bool)
    if integral and value >= least and (most is None or value <= most):  # type: ignore[operator]
        return int(value)  # type: ignore[call-overload,no-any-return]
    bounds = f"at least {least}" if most is None else f"from {least} to {most}"
    raise ModelValidationException(
        f"{name} must be a whole number, {bounds}, not {value!r}.",
        hint=f"For example {name}={max(least, 1)}.",
    )
