"""Which ids a model may have."""

from __future__ import annotations

import re

from kaptain_kfp.exceptions import InvalidModelProperty, ModelValidationException
from kaptain_kfp.utilities import none_or_blank

__all__ = ["MODEL_ID_LIMIT", "RESERVED_PARTS", "is_id_part", "validate_model_id"]

MODEL_ID_LIMIT = 200
"""Most characters of an id."""

RESERVED_PARTS = frozenset({"trained", "tuned", "deploy", "records", "sources"})
"""The folders of each model in the store: an id that ended in one would lie inside another's."""

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def validate_model_id(id: str | None) -> str:
    """Returns the id if a model may have it.

    An id is one or more parts with slashes between, e.g. ``dev/mnist``; each part consists of
    letters (A-Z), digits, dots, underscores and dashes, and begins with a letter or digit.

    Raises:
        InvalidModelProperty: The id is None or blank.
        ModelValidationException: It is something else that can't be an id.
    """
    if id is None or (isinstance(id, str) and none_or_blank(id)):
        raise InvalidModelProperty(
            f"id={id!r} is blank.", hint='Give the model an id, e.g. "dev/mnist".'
        )
    if not isinstance(id, str):
        raise _error(id, 'Give text, e.g. "dev/mnist".')
    if len(id) > MODEL_ID_LIMIT:
        raise _error(id, f"It has {len(id)} characters; give at most {MODEL_ID_LIMIT}.")
    parts = id.split("/")
    for part in parts:
        if not is_id_part(part):
            raise _error(
                id,
                f"The part {part!r} between slashes must begin with a letter or digit and hold "
                "only A-Z, a-z, 0-9, dots, underscores and dashes.",
            )
    # file systems that ignore case would mix "Records" with "records"
    reserved = next((part for part in parts[1:] if part.lower() in RESERVED_PARTS), None)
    if reserved is not None:
        raise _error(
            id, f"{reserved!r} is the name of a folder that each model has; choose another part."
        )
    return id


def is_id_part(text: str) -> bool:
    """Tells whether what stands between two slashes of an id may be that text."""
    return _PART.fullmatch(text) is not None


def _error(id: object, remedy: str) -> ModelValidationException:
    return ModelValidationException(f"id={id!r} can't be the id of a model.", hint=remedy)
