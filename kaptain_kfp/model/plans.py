"""What an action asks for, checked before anything is sent: the same now and by a schedule."""

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
    checked_workers,
)

__all__ = ["Plan", "check_room", "plan_build", "plan_of", "plan_train"]


@dataclass(frozen=True)
class Plan:
    """One action, as it is to be done.

    Attributes:
        action: What.
        parameters: Of its pipeline, beside `model`.
        given: The values as the caller wrote them, for the record.
    """

    action: Action
    parameters: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)


def plan_build() -> Plan:
    """Returns the plan of `Model.build`."""
    return Plan("build", {"builder": builder_resources().dump()})


def plan_train(
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
) -> Plan:
    """Returns the plan of `Model.train`, which says what its arguments mean.

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
    return Plan("train", parameters, given)


_PLANS: Mapping[str, Callable[..., Plan]] = {"build": plan_build, "train": plan_train}


def plan_of(action: str, arguments: Mapping[str, Any]) -> Plan:
    """Returns the plan of an action that is named, with the arguments that its method takes.

    Args:
        action: E.g. ``train``.
        arguments: Of the Model's method; without `verbose` and `wait`.

    Raises:
        ModelValidationException: There is no such action or argument, one is missing, or one
            can't be what it is.
    """
    plan = _PLANS.get(action) if isinstance(action, str) else None
    if plan is None:
        raise ModelValidationException(
            f"action={action!r} can't be scheduled.",
            hint=f"Use one of {', '.join(map(repr, sorted(_PLANS)))}.",
        )
    signature = inspect.signature(plan)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        known = ", ".join(signature.parameters) or "none"
        raise ModelValidationException(
            f"{action} can't be scheduled like this: {error}.",
            hint=f"Its arguments are: {known}.",
        ) from None
    return plan(**arguments)


def check_room(plan: Plan, framework: ModelFramework, gpus: Callable[[], int | None]) -> None:
    """Sees that the machine has what the plan's work asks for at once.

    Args:
        plan: The plan.
        framework: The model's.
        gpus: Asks how many GPUs there are; None where only the cluster's scheduler can tell.

    Raises:
        ModelValidationException: It hasn't.
    """
    if "resources" in plan.parameters:
        resources = ResourcesSpec.model_validate(plan.parameters["resources"])
        replicas = 1 if framework.job_kind == "Job" else int(plan.parameters["workers"])
        check_gpus(resources, replicas, gpus)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values fit for JSON: what isn't plain itself, as NumPy's numbers, as plain ones."""
    return {
        flag: value.item() if hasattr(value, "item") else value for flag, value in values.items()
    }
