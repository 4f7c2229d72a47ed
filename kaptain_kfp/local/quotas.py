"""ResourceQuotas: how much of a namespace's share is used, and who asks for too much.

Pure functions. Counted are cpu, memory and devices of the pods that aren't over
(``cpu``, ``requests.cpu``, ``limits.memory``, ``requests.nvidia.com/gpu`` …), and objects
(``pods``, ``services``, ``count/pytorchjobs.kubeflow.org`` …). Scopes aren't known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from kaptain_kfp.quantities import parse

from .kinds import Kind

__all__ = ["counted", "kinds_counted", "refusal", "status", "used"]

Amounts = dict[str, Decimal]

_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_MUST_BE_SAID = ("cpu", "memory")
_REQUESTS, _LIMITS = "requests.", "limits."
_OVER = ("Succeeded", "Failed")
_PLAIN = ("pods", "services", "secrets", "configmaps", "resourcequotas")


def kinds_counted(quota: Mapping[str, Any], kinds: Iterable[Kind]) -> list[Kind]:
    """Returns the kinds of objects that a quota is about."""
    keys = _hard(quota).keys()
    return [kind for kind in kinds if any(_concerns(key, kind) for key in keys)]


def refusal(
    quota: Mapping[str, Any],
    kind: Kind,
    asked: Mapping[str, Any],
    there: Sequence[Mapping[str, Any]],
) -> str | None:
    """Returns why a quota doesn't allow a new object, or None where it does.

    Args:
        quota: The ResourceQuota.
        kind: The kind of the new object.
        asked: The new object.
        there: The objects of that kind in the namespace.
    """
    name, hard = quota["metadata"]["name"], _hard(quota)
    concerned = [key for key in sorted(hard) if _concerns(key, kind)]
    if unsaid := _unsaid(concerned, asked) if kind.kind == "Pod" else "":
        return f"failed quota: {name}: must specify {unsaid}"
    wanted = counted(kind, asked)
    in_use = used(kind, there)
    over = [
        key
        for key in concerned
        if (more := wanted.get(key, Decimal(0)))
        and more + in_use.get(key, Decimal(0)) > parse(hard[key])
    ]
    if not over:
        return None
    shown = [
        ",".join(f"{key}={_text(key, amounts.get(key, Decimal(0)))}" for key in over)
        for amounts in (wanted, in_use, {key: parse(hard[key]) for key in over})
    ]
    return f"exceeded quota: {name}, requested: {shown[0]}, used: {shown[1]}, limited: {shown[2]}"


def used(kind: Kind, there: Iterable[Mapping[str, Any]]) -> Amounts:
    """Returns what objects of a kind use together."""
    total: Amounts = {}
    for manifest in there:
        for key, amount in counted(kind, manifest).items():
            total[key] = total.get(key, Decimal(0)) + amount
    return total


def status(quota: Mapping[str, Any], amounts: Mapping[str, Decimal]) -> dict[str, Any]:
    """Returns a quota's status.

    Args:
        quota: The ResourceQuota.
        amounts: What is used.
    """
    hard = _hard(quota)
    shown = {key: _text(key, amounts.get(key, Decimal(0))) for key in hard}
    return {"hard": dict(hard), "used": shown}


def counted(kind: Kind, manifest: Mapping[str, Any]) -> Amounts:
    """Returns what one object uses: nothing, where it is a pod that is over."""
    if kind.kind != "Pod":
        return {key: Decimal(1) for key in (kind.plural, f"count/{kind.resource}")}
    amounts = {"count/pods": Decimal(1)}
    if (manifest.get("status") or {}).get("phase") in _OVER:
        return amounts
    amounts["pods"] = Decimal(1)
    spec = manifest.get("spec") or {}
    for prefix, word in ((_REQUESTS, "requests"), (_LIMITS, "limits")):
        for name, amount in _of_pod(spec, word).items():
            amounts[prefix + name] = amount
            if prefix == _REQUESTS:
                amounts[name] = amount
    return amounts


def _hard(quota: Mapping[str, Any]) -> Mapping[str, Any]:
    return (quota.get("spec") or {}).get("hard") or {}


def _concerns(key: str, kind: Kind) -> bool:
    if key in (kind.plural, f"count/{kind.resource}"):
        return key != kind.plural or key in _PLAIN
    of_pods = key in _MUST_BE_SAID or key.startswith((_REQUESTS, _LIMITS))
    return kind.kind == "Pod" and of_pods


def _unsaid(keys: Iterable[str], pod: Mapping[str, Any]) -> str:
    """Returns what which containers would have to say, e.g. ``cpu for: a,b; memory for: b``."""
    containers = (pod.get("spec") or {}).get("containers") or ()
    told = []
    for key in keys:
        word = "limits" if key.startswith(_LIMITS) else "requests"
        name = key.removeprefix(_LIMITS).removeprefix(_REQUESTS)
        silent = [c["name"] for c in containers if name not in _of_container(c, word)]
        if name in _MUST_BE_SAID and silent:
            told.append(f"{key} for: {','.join(silent)}")
    return "; ".join(told)


def _of_pod(spec: Mapping[str, Any], word: str) -> Amounts:
    """Returns what a pod asks for: its containers together, or an init container that's more."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        for name, amount in _of_container(container, word).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in spec.get("initContainers") or ():
        for name, amount in _of_container(container, word).items():
            total[name] = max(total.get(name, Decimal(0)), amount)
    return total


def _of_container(container: Mapping[str, Any], word: str) -> Amounts:
    resources = container.get("resources") or {}
    asked = resources.get(word) or {}
    if word == "requests":  # who says only the limit asks for as much
        asked = {**(resources.get("limits") or {}), **asked}
    return {name: parse(amount) for name, amount in asked.items()}


def _text(key: str, amount: Decimal) -> str:
    """Returns an amount as the server writes it: 0.5 is ``500m``, 1073741824 of memory ``1Gi``."""
    if amount != amount.to_integral_value():
        return f"{int(amount * 1000)}m"
    number = int(amount)
    if number and key.endswith(("memory", "storage")):
        for power, suffix in zip(range(6, 0, -1), _BINARY, strict=True):
            if number % 1024**power == 0:
                return f"{number // 1024**power}{suffix}"
    return str(number)
