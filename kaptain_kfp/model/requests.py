"""What an action asks for, checked before anything is sent: done now, planned, or scheduled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.platform import constants
from kaptain_kfp.platform.builder import builder_resources
from kaptain_kfp.specs import Action, ResourcesSpec

from .frameworks import ModelFramework
from .pods import PodOptions
from .resources import Resources
from .validation import (
    check_gpus,
    checked_arguments,
    checked_pod,
    checked_policy,
    checked_resources,
    checked_switch,
    checked_workers,
)

__all__ = ["ActionRequest", "check_room", "request_build", "request_of", "request_train"]


@dataclass(frozen=True)
class ActionRequest:
    """One action, as it is asked for.

    Attributes:
        action: What.
        parameters: Of its pipeline, beside `model`.
        given: The values as the caller wrote them, for the record.
    """

    action: Action
    parameters: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


def request_build(refresh_base: bool = False) -> ActionRequest:
    """Returns what `Model.build` asks for.

    Raises:
        ModelValidationException: `refresh_base` isn't true or false.
    """
    refresh = checked_switch("refresh_base", refresh_base)
    given = {"refresh_base": True} if refresh else {}
    return ActionRequest(
        "build", {"refresh_base": refresh, "builder": builder_resources().dump()}, given
    )


def request_train(
    hyperparameters: dict[str, Any],
    args: dict[str, Any] | None = None,
    gpus: int | None = None,
    cpu: str | None = None,
    memory: str | None = None,
    resources: Resources | None = None,
    workers: int = 2,
    ttl_seconds_after_finished: int | None = None,
    force_cleanup: bool | None = None,
    timeout: int | None = constants.DEFAULT_TIMEOUT_SECONDS,
    pod: PodOptions | None = None,
) -> ActionRequest:
    """Returns what `Model.train` asks for; it says what the arguments mean.

    Raises:
        ModelValidationException: One of them can't be.
    """
    parameters = {
        "hyperparameters": checked_arguments("hyperparameters", hyperparameters),
        "args": checked_arguments("args", args),
        "workers": checked_workers(workers),
        "resources": checked_resources(cpu, memory, gpus, resources).dump(),
        "policy": checked_policy(timeout, ttl_seconds_after_finished, force_cleanup).dump(),
        "pod": checked_pod(pod).dump(),
        "builder": builder_resources().dump(),
    }
    given = {"hyperparameters": _plain(hyperparameters), "args": _plain(args or {})}
    return ActionRequest("train", parameters, given)


_REQUESTS: Mapping[str, Callable[..., ActionRequest]] = {
    "build": request_build,
    "train": request_train,
}


def request_of(action: str, arguments: Mapping[str, Any]) -> ActionRequest:
    """Returns what an action asks for that is named, with the arguments that its method takes.

    Args:
        action: E.g. ``train``.
        arguments: Of the Model's method; without `verbose`, `wait` and `dry_run`.

    Raises:
        ModelValidationException: There is no such action or argument, one is missing, or one
            can't be what it is.
    """
    make = _REQUESTS.get(action) if isinstance(action, str) else None
    if make is None:
        raise ModelValidationException(
            f"action={action!r} can't be planned or scheduled.",
            hint=f"Use one of {', '.join(map(repr, sorted(_REQUESTS)))}.",
        )
    signature = inspect.signature(make)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        known = ", ".join(signature.parameters) or "none"
        raise ModelValidationException(
            f"{action} can't be planned or scheduled like this: {error}.",
            hint=f"Its arguments are: {known}.",
        ) from None
    return make(**arguments)


def check_room(
    asked: ActionRequest, framework: ModelFramework, gpus: Callable[[], int | None]
) -> None:
    """Sees that the machine has what the work takes at once.

    Args:
        asked: The action.
        framework: The model's.
        gpus: Asks how many GPUs there are; None where only the cluster's scheduler can tell.

    Raises:
        ModelValidationException: It hasn't.
    """
    if "resources" in asked.parameters:
        resources = ResourcesSpec.model_validate(asked.parameters["resources"])
        replicas = 1 if framework.job_kind == "Job" else int(asked.parameters["workers"])
        check_gpus(resources, replicas, gpus)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values fit for JSON: what isn't plain itself, as NumPy's numbers, as plain ones."""
    return {
        flag: value.item() if hasattr(value, "item") else value for flag, value in values.items()
    }
