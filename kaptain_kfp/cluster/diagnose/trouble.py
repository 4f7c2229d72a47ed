"""One thing that keeps a workload from going on."""

from __future__ import annotations

from dataclasses import dataclass

from kaptain_kfp.exceptions import KaptainError

__all__ = ["Trouble"]


@dataclass(frozen=True)
class Trouble:
    """What is in the way, and what it will be called if it doesn't pass.

    Attributes:
        cause: What all forms of the same trouble share: how long it lasts is counted by it.
        name: Its form: the entry of `GRACE_SECONDS`.
        short: What to say of it while there is hope.
        error: What to raise if it lasts.
        vague: True for a form that says less than another one of the same cause.
    """

    cause: str
    name: str
    short: str
    error: KaptainError
    vague: bool = False
