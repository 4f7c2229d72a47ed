"""Which models a store has."""

from __future__ import annotations

from collections.abc import Iterator

from kaptain_kfp.exceptions import InvalidModelProperty, ModelValidationException
from kaptain_kfp.model.identity import RESERVED_PARTS, is_id_part, validate_model_id

from .base import Store

__all__ = ["list_models"]


def list_models(store: Store) -> list[str]:
    """Returns the ids of the models that have records in a store, sorted."""
    return sorted(_models(store))


def _models(store: Store, prefix: str = "") -> Iterator[str]:
    """Yields the models below a prefix, without a look at their files, however many there are."""
    # what models share lies below names that no id can have
    for name in filter(is_id_part, store.folders(prefix)):
        if not prefix or name.lower() not in RESERVED_PARTS:
            below = f"{prefix}/{name}" if prefix else name
            yield from _models(store, below)
        elif name == "records" and _is_model(store, prefix):
            yield prefix


def _is_model(store: Store, model_id: str) -> bool:
    try:
        validate_model_id(model_id)
    except (InvalidModelProperty, ModelValidationException):
        return False
    listed = store.list(f"{model_id}/records", recursive=False)
    return any(entry.key.endswith(".json") for entry in listed)
