from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import StoreError
from kaptain_kfp.store.oserrors import explained


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (errno.ENOSPC, "NoSpace", "Free some space"),
        (errno.EDQUOT, "NoSpace", "Free some space"),
        (errno.EACCES, "PermissionDenied", "right to read and write"),
        (errno.EPERM, "PermissionDenied", "right to read and write"),
        (errno.EROFS, "ReadOnly", "read-only"),
        (errno.ENOTDIR, "PathTaken", "move it away"),
        (errno.EISDIR, "PathTaken", "move it away"),
        (errno.EEXIST, "PathTaken", "move it away"),
        (errno.ENOENT, "Missing", "it is there"),
        (errno.ENAMETOOLONG, "NameTooLong", "shorter"),
        (errno.ELOOP, "LinkLoop", "symbolic link"),
        (errno.EIO, "StorageTrouble", "disk"),
    ],
)
def test_says_what_happened_and_what_to_do(code: int, reason: str, remedy: str) -> None:
    with pytest.raises(StoreError) as caught, explained("Writing /m/a", Path("/m/a")):
        raise OSError(code, os.strerror(code), "/m/.kaptain-staging-1")
    assert caught.value.message == f"Writing /m/a failed: {os.strerror(code)}."
    assert caught.value.resource == "/m/a"
    assert caught.value.reason == reason
    assert remedy in (caught.value.hint or "")


def test_understands_errors_without_a_number() -> None:
    with pytest.raises(StoreError, match="failed: a named pipe"), explained("Copying", Path("a")):
        raise OSError("a named pipe")


def test_leaves_other_errors_alone() -> None:
    with pytest.raises(KeyError), explained("Writing", Path("a")):
        raise KeyError
