"""What the operating system refuses, in words that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaptain_kfp.exceptions import StoreError

__all__ = ["explained"]

_NO_SPACE = ("NoSpace", "Free some space there, or choose another base_model_storage_uri.")
_DENIED = (
    "PermissionDenied",
    "Get the right to read and write there (ls -ld shows who has it), or choose another "
    "base_model_storage_uri.",
)
_IN_THE_WAY = (
    "PathTaken",
    "A file lies where a folder is needed, or the other way round: move it away, or choose "
    "another name.",
)
_OTHERS = ("StorageTrouble", "Check that the disk is there and in order, then try again.")

_REMEDIES: dict[int, tuple[str, str]] = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EFBIG: _NO_SPACE,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: (
        "ReadOnly",
        "The file system is mounted read-only: choose another base_model_storage_uri.",
    ),
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOENT: ("Missing", "Check that it is there and that nothing removes it meanwhile."),
    errno.ENAMETOOLONG: ("NameTooLong", "Choose a shorter name or folder."),
    errno.ELOOP: ("LinkLoop", "Remove the symbolic link that leads back to itself."),
}


@contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turns an `OSError` within into a `StoreError` with the remedy.

    Args:
        doing: What is tried, with the path: ``Writing /models/a``.
        path: What the error is about.
    """
    try:
        yield
    except OSError as error:
        reason, hint = _REMEDIES.get(error.errno or 0, _OTHERS)
        raise StoreError(
            f"{doing} failed: {error.strerror or error}.",
            resource=str(path),
            reason=reason,
            hint=hint,
        ) from error
