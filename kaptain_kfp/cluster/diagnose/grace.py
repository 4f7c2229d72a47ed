"""How long each kind of trouble may last before it counts as a failure: a table.

A slow registry, a node that is still being added, a quota that others give back: much trouble
passes by itself. Trouble that can't pass has no grace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["GRACE_SECONDS", "PATIENT", "GracePeriods"]

GRACE_SECONDS: Mapping[str, float | None] = {
    # somebody holds it back on purpose: never a failure
    "Suspended": None,
    "SchedulingGated": None,
    # it gives up by itself
    "InitWait": None,
    # nobody looks after it
    "Unnoticed": 120,
    "NoPods": 600,
    "Deleted": 0,
    # the cluster refuses its pods
    "Quota": 120,
    "PodSecurity": 10,
    "Admission": 60,
    "WebhookDown": 300,
    "Refused": 300,
    # no node
    "Unschedulable": 600,
    "NodeLost": 600,
    "Disrupted": 600,
    # images
    "ImageName": 0,
    "ImageNever": 0,
    "ImagePlatform": 30,
    "ImageDenied": 60,
    "ImageNotFound": 60,
    "ImagePull": 300,
    # containers
    "Configuration": 0,
    "MissingSecret": 30,
    "Creation": 0,
    "Runtime": 120,
    "Volume": 300,
    "Sandbox": 300,
    "Crash": 5,
    "CrashLoop": 300,
    "Sidecar": 60,
}
"""Seconds by the name of the trouble; None for trouble that is never a failure."""

PATIENT = frozenset(
    {
        *("Unnoticed", "NoPods", "Quota", "WebhookDown", "Refused", "Unschedulable"),
        *("ImagePull", "Volume", "Sandbox"),
    }
)
"""What passes once the cluster has what is missing: how long that is waited for can be set."""


@dataclass(frozen=True)
class GracePeriods:
    """How long trouble may last.

    Attributes:
        pending_seconds: Instead of the table's for all that is `PATIENT`, and the most for the
            rest; None for the table alone.
    """

    pending_seconds: float | None = None

    def seconds(self, name: str) -> float | None:
        """Returns how many seconds a trouble may last; None for ever."""
        usual = GRACE_SECONDS[name]
        if usual is None or self.pending_seconds is None:
            return usual
        return self.pending_seconds if name in PATIENT else min(usual, self.pending_seconds)
