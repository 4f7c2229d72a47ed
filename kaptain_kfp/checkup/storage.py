"""Where models lie: whether something can be written there, read, and deleted."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from kaptain_kfp.config import store_uri
from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.platform.config.provider import ConfigurationProvider
from kaptain_kfp.store.base import Store

from .base import Check, Probe, failed, ok

__all__ = ["storage_probe"]

_NAME = "storage"
_PROBES = "kaptain-doctor"
_CONTENT = b"Written by `kaptain doctor`; may be deleted.\n"


def storage_probe(place: Workplace, after: tuple[str, ...] = ()) -> Probe:
    """Returns the look at the store.

    Args:
        place: Where work goes.
        after: What must be well before, e.g. since the credentials lie in the cluster.
    """
    return Probe(_NAME, lambda: storage(place), after)


def storage(place: Workplace) -> list[Check]:
    """Looks whether the store can be written to, read and deleted from."""
    uri = store_uri(place.config, place.target)
    if uri.startswith("file:"):
        folder = Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))
        if not folder.exists():
            return _new_folder(folder)
        return exchange(place.store)
    return exchange(_hasty_store(uri, place.storage))


def exchange(store: Store) -> list[Check]:
    """Writes an object, reads and deletes it; nothing of it stays."""
    key = f"{_PROBES}/{uuid.uuid4().hex}"
    store.write(key, _CONTENT)
    try:
        read = store.read(key)
    finally:
        store.delete(key)
    if read != _CONTENT:
        raise StoreError(
            f"{store.uri} returned something else than was just written to it.",
            resource=store.uri_of(key),
            reason="Inconsistent",
            hint="A cache or a proxy may be between: go to the server itself.",
        )
    return ok(_NAME, f"{store.uri} can be written to, read, and deleted from")


def _new_folder(folder: Path) -> list[Check]:
    there = next(path for path in folder.parents if path.exists())
    if os.access(there, os.W_OK | os.X_OK):
        return ok(_NAME, f"{folder}: not there yet, made when it is needed")
    remedy = "Choose another base_model_storage_uri, or another home (KAPTAIN_HOME)."
    return failed(_NAME, f"{folder} can't be made: {there} can't be written to", remedy)


def _hasty_store(uri: str, provider: ConfigurationProvider | None) -> Store:
    """Returns a store that doesn't wait for its server as long as work does."""
    from kaptain_kfp.store.s3 import Limits, S3Store

    return S3Store(uri, provider or {}, limits=Limits(connect_seconds=2.0, read_seconds=5.0))
