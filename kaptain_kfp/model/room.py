"""Whether the quotas of a namespace have room for several pods at once: a pure function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from kaptain_kfp.exceptions import QuotaExceededError
from kaptain_kfp.local.kinds import kind_of
from kaptain_kfp.local.quotas import counted
from kaptain_kfp.quantities import parse

__all__ = ["shortages"]

_POD = kind_of("Pod")


def shortages(
    quotas: Iterable[Mapping[str, Any]], pod: Mapping[str, Any], number: int
) -> Iterator[QuotaExceededError]:
    """Yields what keeps so many pods from being there at once, an error for each quota.

    A quota that counts some pods only is left out, since the cluster alone knows which.

    Args:
        quotas: The ResourceQuotas, with what is used by now.
        pod: One of the pods, which are all alike.
        number: How many there are to be.
    """
    wanted = counted(_POD, pod)
    for quota in quotas:
        spec, status = quota.get("spec") or {}, quota.get("status") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        used = status.get("used") or {}
        short = []
        for key, hard in sorted((spec.get("hard") or {}).items()):
            left = parse(hard) - parse(used.get(key, "0"))
            if wanted.get(key, Decimal(0)) * number > left:
                short.append(f"{key} ({used.get(key, '0')} of {hard} are used)")
        if short:
            name = quota["metadata"]["name"]
            yield QuotaExceededError(
                f"The quota {name} has no room for {number} such pods at once: {', '.join(short)}.",
                resource=f"ResourceQuota/{name}",
                reason="QuotaExceeded",
                hint="Ask for fewer workers or less for each, wait for other work to end, or have "
                "the quota raised.",
            )
