"""Objects that are written only where there is none: what keeps records append-only.

A server that minds ``If-None-Match: *`` decides by itself, and exactly: AWS, MinIO and most others
of today do. Whether it does is found out at the first creation, by asking for the impossible: to
create once more what was just created.

Where it doesn't, there is no such operation, and none can be built exactly from reads and writes.
Then creation looks whether the object is there, writes it, waits for what others may be writing at
that very moment, and reads back whose it is. Within one process that is exact. What remains:
of two processes that create one object, both may think that it was them if a write of one is under
way for longer than the pause; and for a moment others may see the content of the one that loses.
Records stand this, since each has a key of its own: only a step that was started twice at the same
time writes the same one, about the same work.
"""

from __future__ import annotations

import time
from typing import Any, Literal

from .s3errors import code_of
from .s3link import Link

__all__ = ["create"]

_Answer = Literal["written", "there", "there after a retry"]

_PAUSE_SECONDS = 0.3
_CONFLICTS = 10
_CONFLICT_PAUSE_SECONDS = 0.05
_THERE = ("PreconditionFailed", "412")
_CONFLICT = ("ConditionalRequestConflict", "OperationAborted", "409")
_NOT_KNOWN = ("NotImplemented", "501")


def create(link: Link, key: str, data: bytes) -> bool:
    """Writes an object unless one is there.

    Args:
        link: The bucket.
        key: The whole key in it.
        data: The content.

    Returns:
        True if it was written, False if one was there already.

    Raises:
        StoreError: It can't be written.
    """
    if link.conditional:
        with link.place.explained("Writing", key):
            return _won(link, key, data, _put_new(link, key, data))
    with link.creating:
        if link.head(key) is not None:
            return False
        with link.place.explained("Writing", key):
            if not _won(link, key, data, _put_new(link, key, data)):
                return False
            if link.conditional is None:
                link.conditional = _put_new(link, key, data) != "written"
        return link.conditional or _is_ours(link, key, data)


def _put_new(link: Link, key: str, data: bytes) -> _Answer:
    """Writes on condition that nothing is there, as far as the server minds it."""
    condition = {} if link.conditional is False else {"IfNoneMatch": "*"}
    for left in reversed(range(_CONFLICTS)):
        try:
            link.client.put_object(Bucket=link.bucket, Key=key, Body=data, **condition)
            return "written"
        except link.client.exceptions.ClientError as error:
            code = code_of(error)
            if code in _THERE:
                return "there after a retry" if _was_retried(error) else "there"
            if code in _NOT_KNOWN and condition:
                link.conditional = False
                condition = {}
            elif code not in _CONFLICT or not left:
                raise
            else:
                time.sleep(_CONFLICT_PAUSE_SECONDS)
    raise AssertionError("the last try returns or raises")


def _won(link: Link, key: str, data: bytes, answer: _Answer) -> bool:
    # the answer to our own first try may have been lost on its way
    return answer == "written" or (answer == "there after a retry" and link.get(key) == data)


def _is_ours(link: Link, key: str, data: bytes) -> bool:
    time.sleep(_PAUSE_SECONDS)
    # what was deleted since was written all the same
    return link.get(key) in (None, data)


def _was_retried(error: Any) -> bool:
    return int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0
