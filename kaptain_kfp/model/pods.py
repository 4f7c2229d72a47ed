"""How the pods of a workload are labelled, where they may run, and with which rights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kaptain_kfp import quantities
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.quantities import Quantity
from kaptain_kfp.specs import PodSpec, Toleration

__all__ = ["PodOptions"]

_PREFIX = r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*/)?"
_WORD = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(_PREFIX + _WORD)
_VALUE = re.compile(rf"(?:{_WORD})?")
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_TOLERATION = {
    "key": (),
    "operator": ("Exists", "Equal"),
    "value": (),
    "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
}
_EXAMPLE = '{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}'


@dataclass(frozen=True, init=False)
class PodOptions:
    """What the pods of a training get beside resources; all of it is optional.

    On this machine, which has one node and one user, only labels and annotations mean anything.

    Args:
        labels: Further labels; ours can't be changed.
        annotations: Further annotations.
        node_selector: Labels that a node must have, e.g. ``{"accelerator": "a100"}``.
        tolerations: Taints that they stand, each with `key`, `operator` (``Exists`` or ``Equal``),
            `value` and `effect`, as far as they matter.
        shm_size: Size of ``/dev/shm``, e.g. ``2Gi``: data loaders with several workers need more
            than the 64 MiB that a container has otherwise. It counts as memory.
        service_account: The account whose rights they have; by default the namespace's own.
        image_pull_secrets: Further Secrets with which images are pulled.

    Raises:
        ModelValidationException: A value can't be used.
    """

    spec: PodSpec

    def __init__(
        self,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        node_selector: Mapping[str, str] | None = None,
        tolerations: Sequence[Mapping[str, str]] | None = None,
        shm_size: Quantity | None = None,
        service_account: str | None = None,
        image_pull_secrets: Sequence[str] | None = None,
    ) -> None:
        spec = PodSpec(
            labels=_pairs("labels", labels, _VALUE),
            annotations=_pairs("annotations", annotations, None),
            node_selector=_pairs("node_selector", node_selector, _VALUE),
            tolerations=tuple(_toleration(n, given) for n, given in enumerate(tolerations or ())),
            shm_size=None if shm_size is None else quantities.normalise(shm_size, field="shm_size"),
            service_account=None
            if service_account is None
            else _name("service_account", service_account),
            image_pull_secrets=_names(image_pull_secrets),
        )
        object.__setattr__(self, "spec", spec)


def _pairs(
    field: str, given: Mapping[str, str] | None, value_form: re.Pattern[str] | None
) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise _invalid(field, given, "Give a dictionary of names and texts.")
    for key, value in given.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise _invalid(f"the key of {field}", key, "Use letters, digits, '-', '_' and '.'.")
        if not isinstance(value, str) or (value_form and not value_form.fullmatch(value)):
            remedy = "Give text" if value_form is None else "Give at most 63 letters and digits"
            raise _invalid(f"{field}[{key!r}]", value, f"{remedy}.")
    return dict(given)


def _toleration(number: int, given: Mapping[str, str]) -> Toleration:
    field = f"tolerations[{number}]"
    if not isinstance(given, Mapping) or not given or set(given) - set(_TOLERATION):
        raise _invalid(field, given, f"For example {_EXAMPLE}.")
    for name, value in given.items():
        words = _TOLERATION[name]
        if not isinstance(value, str) or (words and value not in words):
            raise _invalid(f"{field}[{name!r}]", value, f"Use {' or '.join(words) or 'text'}.")
    if given.get("operator") == "Exists" and given.get("value"):
        raise _invalid(f"{field}['value']", given["value"], "Leave it out with operator Exists.")
    if "key" not in given and given.get("operator") != "Exists":
        raise _invalid(field, dict(given), "Give a key, or operator Exists for all taints.")
    return Toleration.model_validate(dict(given))


def _names(given: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(given, str):
        raise _invalid("image_pull_secrets", given, f"Give a list: [{given!r}].")
    return tuple(_name(f"image_pull_secrets[{n}]", name) for n, name in enumerate(given or ()))


def _name(field: str, given: str) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise _invalid(field, given, "Give the name of an object: lower case, digits and '-'.")
    return given


def _invalid(field: str, value: object, hint: str) -> ModelValidationException:
    return ModelValidationException(f"PodOptions: {field} can't be {value!r}.", hint=hint)
