"""What an action asks for, checked before anything is sent: the same now and by a schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaptain_kfp.config import TrainingApi
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.platform import constants
from kaptain_kfp.specs import Action, ResourcesSpec

from .resources import Resources
from .validation import (
    checked_arguments,
    checked_policy,
    checked_resources,
    checked_workers,
)

__all__ = ["Plan", "plan_build", "plan_of", "plan_train"]


@dataclass(frozen=True)
class Plan:
    """One action, as it is to be done.

    Attributes:
        action: What.
        parameters: Of its pipeline, beside `model`.
        given: The values as the caller wrote them, for the record.
        replica: What each worker has.
        workers: How many were asked for.
    """

    action: Action
    parameters: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    replica: ResourcesSpec = field(default_factory=ResourcesSpec)
    workers: int = 1


def plan_build() -> Plan:
    """Returns the plan of `Model.build`."""
    return Plan("build")


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
    *,
    training_api: TrainingApi = "auto",
) -> Plan:
    """Returns the plan of `Model.train`, which says what its arguments mean.

    `training_api` is that of the configuration.

    Raises:
        ModelValidationException: One of them can't be.
    """
    replica = checked_resources(cpu, memory, gpus, resources)
    number = checked_workers(workers)
    policy = checked_policy(timeout, ttl_seconds_after_finished, force_cleanup, training_api)
    parameters = {
        "hyperparameters": checked_arguments("hyperparameters", hyperparameters),
        "args": checked_arguments("args", args),
        "workers": number,
        "resources": replica.dump(),
        "policy": policy.dump(),
    }
    given = {"hyperparameters": _plain(hyperparameters), "args": _plain(args or {})}
    return Plan("train", parameters, given, replica, number)


_PLANS: Mapping[str, Callable[..., Plan]] = {"build": plan_build, "train": plan_train}


def plan_of(action: str, arguments: Mapping[str, Any], training_api: TrainingApi = "auto") -> Plan:
    """Returns the plan of an action that is named, with the arguments that its method takes.

    Args:
        action: E.g. ``train``.
        arguments: Of the Model's method; without `verbose` and `wait`.
        training_api: That of the configuration.

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
    settings = {"training_api": training_api} if "training_api" in signature.parameters else {}
    public = [p for p in signature.parameters.values() if p.name not in settings]
    try:
        signature.replace(parameters=public).bind(**arguments)
    except TypeError as error:
        known = ", ".join(parameter.name for parameter in public) or "none"
        raise ModelValidationException(
            f"{action} can't be scheduled like this: {error}.",
            hint=f"Its arguments are: {known}.",
        ) from None
    return plan(**arguments, **settings)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values fit for JSON: what isn't plain itself, as NumPy's numbers, as plain ones."""
    return {
        flag: value.item() if hasattr(value, "item") else value for flag, value in values.items()
    }
