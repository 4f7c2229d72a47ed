"""What a plan has in place of what only a run will know."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kaptain_kfp.manifests import names

__all__ = ["SIZE", "StandIns"]

SIZE = "<size>"
"""Stands for the size of an archive that is yet to be packed."""

_TASK, _BUILDER_TASK = "plan", "plan-build"


def _new_run() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class StandIns:
    """Values of their right form, so that a cluster can be asked about objects that have them.

    They are made up anew for every plan, so no object has them, and nothing else in a plan is
    taken for one of them.

    Attributes:
        run_id: Of a run.
        digest: Of an image.
        size: Of an archive, in bytes.
    """

    run_id: str = field(default_factory=_new_run)
    digest: str = field(default_factory=lambda: secrets.token_hex(32))
    size: int = field(default_factory=lambda: 10**17 + secrets.randbelow(10**17))

    @property
    def identity(self) -> names.Identity:
        """The first try of a task of the run."""
        return names.identity(self.run_id, "", _TASK)

    @property
    def builder(self) -> names.Identity:
        """The same, of the task that comes before it."""
        return names.identity(self.run_id, "", _BUILDER_TASK)

    def shown(self, value: Any) -> Any:
        """Returns plain data, or a text, with placeholders in place of all that was made up."""
        if isinstance(value, str):
            for made_up, placeholder in self._placeholders.items():
                value = value.replace(made_up, placeholder)
            return value
        if isinstance(value, Mapping):
            return {
                self.shown(key): "<spec-hash>"
                if key == names.ANNOTATION_SPEC_HASH
                else self.shown(each)
                for key, each in value.items()
            }
        return [self.shown(each) for each in value] if isinstance(value, (list, tuple)) else value

    @property
    def _placeholders(self) -> Mapping[str, str]:
        identities = (self.identity, self.builder)
        # the suffix is a part of the revision, so it comes after it
        return {
            self.run_id: "<run>",
            self.digest: "<digest>",
            str(self.size): SIZE,
            **{identity.revision: "<revision>" for identity in identities},
            **{identity.suffix: "<suffix>" for identity in identities},
        }
