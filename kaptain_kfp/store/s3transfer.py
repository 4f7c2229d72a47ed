"""Files and objects on their way: many at a time, big ones in parts, nothing half-made visible.

An upload in parts that fails is aborted. One whose process is killed, or whose server goes away,
leaves parts that nobody sees; they are removed when the same key is uploaded anew a day later or
more (a lifecycle rule `AbortIncompleteMultipartUpload` removes them for all keys).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .s3link import Link

if TYPE_CHECKING:
    from s3transfer.manager import TransferManager

__all__ = ["copy", "delete", "download", "upload"]

_ABANDONED_AFTER = timedelta(days=1)
_BATCH = 1000
_COPIED_PART_BYTES = 512 << 20
_SMALLEST_PART_BYTES = 5 << 20


def upload(link: Link, files: Sequence[tuple[str, Path]]) -> None:
    """Sends files; what was sent when one of them fails stays, each whole.

    Args:
        link: The bucket.
        files: For each its whole key, and where it is.

    Raises:
        StoreError: The server refuses one.
        OSError: One can't be read.
    """
    part = link.limits.part_bytes
    for key, path in files:
        if path.stat().st_size >= part:
            _sweep(link, key)
    with _manager(link, threshold=part, part=part) as manager:
        _all(link, "Writing", {key: manager.upload(str(p), link.bucket, key) for key, p in files})


def download(link: Link, files: Sequence[tuple[str, Path]]) -> None:
    """Fetches objects into files; their folders are made.

    Args:
        link: The bucket.
        files: For each its whole key, and where it goes.

    Raises:
        StoreError: The server refuses one.
        OSError: One can't be written.
    """
    for folder in {path.parent for _, path in files}:
        folder.mkdir(parents=True, exist_ok=True)
    part = link.limits.part_bytes
    with _manager(link, threshold=part, part=part) as manager:
        _all(link, "Reading", {key: manager.download(link.bucket, key, str(p)) for key, p in files})


def copy(link: Link, keys: Sequence[tuple[str, str]]) -> None:
    """Copies objects within the bucket, without bringing them here.

    Args:
        link: The bucket.
        keys: For each the whole key of the source and that of the target.

    Raises:
        StoreError: The server refuses one.
    """
    threshold = link.limits.copy_bytes
    part = max(_SMALLEST_PART_BYTES, min(_COPIED_PART_BYTES, threshold))
    with _manager(link, threshold=threshold + 1, part=part) as manager:
        copies = {
            # S3 refuses to copy an object to itself
            source: manager.copy({"Bucket": link.bucket, "Key": source}, link.bucket, target)
            for source, target in keys
            if source != target
        }
        _all(link, "Copying", copies)


def delete(link: Link, keys: Iterator[str]) -> int:
    """Deletes objects, a thousand with each request.

    Args:
        link: The bucket.
        keys: Their whole keys.

    Returns:
        How many there were.

    Raises:
        StoreError: The server refuses one; those before it are gone.
    """
    count = 0
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _BATCH:
            count += _delete(link, batch)
            batch = []
    return count + _delete(link, batch)


def _delete(link: Link, keys: Sequence[str]) -> int:
    if not keys:
        return 0
    asked = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    with link.place.explained("Deleting", keys[0]):
        errors = link.client.delete_objects(Bucket=link.bucket, Delete=asked).get("Errors", ())
    failed = [error for error in errors if error.get("Code") != "NoSuchKey"]
    if failed:
        first = failed[0]
        raise link.place.undeleted(
            *(first.get(name, "") for name in ("Key", "Code", "Message")),
        )
    return len(keys)


@contextmanager
def _manager(link: Link, *, threshold: int, part: int) -> Iterator[TransferManager]:
    from s3transfer.manager import TransferConfig, TransferManager

    config = TransferConfig(
        multipart_threshold=threshold,
        multipart_chunksize=part,
        max_request_concurrency=link.limits.transfers,
        max_submission_concurrency=min(link.limits.transfers, 4),
        max_in_memory_upload_chunks=link.limits.transfers,
        max_in_memory_download_chunks=link.limits.transfers,
    )
    # leaving it with an error ends what is under way, and aborts what went in parts
    with TransferManager(link.client, config) as manager:
        yield manager


def _all(link: Link, doing: str, futures: dict[str, Any]) -> None:
    """Waits for transfers, and raises the error of the first one that failed."""
    for key, future in futures.items():
        with link.place.explained(doing, key):
            future.result()


def _sweep(link: Link, key: str) -> None:
    """Aborts the uploads of a key that were left a day ago, as far as that is allowed."""
    errors = link.client.exceptions.ClientError
    try:
        listed = link.client.list_multipart_uploads(Bucket=link.bucket, Prefix=key)
        for found in listed.get("Uploads", ()):
            age = datetime.now(timezone.utc) - found["Initiated"]
            if found["Key"] == key and age > _ABANDONED_AFTER:
                link.client.abort_multipart_upload(
                    Bucket=link.bucket, Key=key, UploadId=found["UploadId"]
                )
    except errors:
        return  # not every key may list them, and nothing depends on it
