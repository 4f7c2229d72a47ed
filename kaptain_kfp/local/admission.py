"""What a namespace allows: its Pod Security level and its ResourceQuotas.

Every function is one step of a transaction that its caller has opened.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from . import quotas, rows
from .errors import forbidden
from .kinds import KINDS, Kind, kind_of
from .podsecurity import violations_text

__all__ = ["check_creation", "settle_quotas"]

Object = dict[str, Any]

_QUOTA = kind_of("ResourceQuota")
_NAMESPACE = kind_of("Namespace")


def check_creation(connection: sqlite3.Connection, kind: Kind, made: Object) -> None:
    """Refuses a new object that its namespace doesn't allow.

    Raises:
        ClusterError: It doesn't (code 403).
    """
    metadata = made["metadata"]
    if kind.kind == "Pod":
        namespace = rows.find(connection, _NAMESPACE, "", metadata["namespace"])
        if text := violations_text(made["spec"], namespace):
            raise forbidden(kind, metadata["name"], text.replace("violate", "violates", 1))
    for quota in _quotas(connection, metadata.get("namespace", "")):
        if not quotas.kinds_counted(quota, [kind]):
            continue
        there = list(rows.scan(connection, rows.Range(kind, metadata["namespace"])))
        if why := quotas.refusal(quota, kind, made, there):
            raise forbidden(kind, metadata["name"], why)


def settle_quotas(connection: sqlite3.Connection, kind: Kind, namespace: str) -> None:
    """Writes into the quotas of a namespace what is used, after objects of a kind changed."""
    for quota in _quotas(connection, namespace):
        concerned = quotas.kinds_counted(quota, KINDS)
        if kind not in (*concerned, _QUOTA):
            continue
        amounts: dict[str, Any] = {}
        for other in concerned:
            there = rows.scan(connection, rows.Range(other, namespace))
            amounts.update(quotas.used(other, there))
        status = quotas.status(quota, amounts)
        if quota.get("status") != status:
            rows.store(connection, _QUOTA, {**quota, "status": status}, quota)


def _quotas(connection: sqlite3.Connection, namespace: str) -> list[Object]:
    if not namespace:
        return []
    return list(rows.scan(connection, rows.Range(_QUOTA, namespace)))
