"""Which keys and prefixes a store takes; the same in every store."""

from __future__ import annotations

import os

from kaptain_kfp.exceptions import StoreError

from .staging import STAGING_PREFIX

__all__ = ["check_key", "check_prefix", "is_key"]


def check_key(key: str) -> str:
    """Returns the key if an object may lie under it.

    Raises:
        StoreError: It is no text, has a part that is empty, ``.`` or ``..``, has a character that
            no name can have, or is a name that stores keep for what isn't complete.
    """
    if not isinstance(key, str):
        raise _error(key, "A key is text.")
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise _error(key, 'Give names with single slashes between: "dev/mnist/trained".')
    if any(part.startswith(STAGING_PREFIX) for part in parts):
        raise _error(
            key, f"Names that begin with {STAGING_PREFIX} are kept for what is incomplete."
        )
    if not _encodable(key):
        raise _error(key, "Take out the NUL character or the lone surrogate.")
    return key


def check_prefix(prefix: str) -> str:
    """Returns the prefix if something may lie below it: a key, or empty for everything.

    Raises:
        StoreError: It is neither.
    """
    return prefix if prefix == "" else check_key(prefix)


def is_key(text: str) -> bool:
    """Returns whether an object may lie under that text."""
    try:
        check_key(text)
    except StoreError:
        return False
    return True


def _encodable(key: str) -> bool:
    try:
        return b"\0" not in os.fsencode(key)
    except UnicodeEncodeError:
        return False


def _error(key: object, remedy: str) -> StoreError:
    return StoreError(f"{key!r} can't be a key in a store.", reason="InvalidKey", hint=remedy)
