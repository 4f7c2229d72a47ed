"""The way to one bucket: its client, and what was learned of the server on the way."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from kaptain_kfp.platform._s3 import s3_client

from .s3errors import Place, code_of

__all__ = ["Limits", "Link", "link_to"]

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_CONNECTIONS_BESIDE = 4
_READ_ATTEMPTS = 3
_BROKEN_OFF = ("IncompleteReadError", "ResponseStreamingError", "ReadTimeoutError")


@dataclass(frozen=True)
class Limits:
    """How much at a time, and how long.

    Attributes:
        transfers: Requests at a time when files are sent, fetched or copied.
        part_bytes: Files from this size on go in parts of this size.
        copy_bytes: Objects above this size are copied in parts; S3 takes 5 GiB at most as a whole.
        connect_seconds: How long the server may take to accept a connection.
        read_seconds: How long it may be silent.
    """

    transfers: int = 8
    part_bytes: int = 16 << 20
    copy_bytes: int = 5 << 30
    connect_seconds: float = 10.0
    read_seconds: float = 60.0


class Link:
    """A bucket within reach; safe for threads.

    Args:
        bucket: The bucket.
        settings: As for `kaptain_kfp.platform._s3.s3_client`.
        limits: How much at a time.

    Attributes:
        bucket: The bucket.
        limits: How much at a time.
        conditional: Whether the server minds ``If-None-Match``; None until that is known.
        creating: Held by whoever creates an object while the server doesn't mind.
    """

    def __init__(self, bucket: str, settings: Mapping[str, str], limits: Limits) -> None:
        self.bucket = bucket
        self.limits = limits
        self.conditional: bool | None = None
        self.creating = threading.Lock()
        self._settings = dict(settings)
        self._making = threading.Lock()
        self._seen = False

    @property
    def client(self) -> Any:
        """The client, made when it is first needed."""
        with self._making:
            return self._client

    @cached_property
    def _client(self) -> Any:
        limits = self.limits
        with self.place.explained("Connecting to"):
            made = s3_client(
                self._settings,
                connect_timeout=limits.connect_seconds,
                read_timeout=limits.read_seconds,
                max_pool_connections=limits.transfers + _CONNECTIONS_BESIDE,
            )
        if self._settings.get("S3_ENDPOINT"):
            made.meta.events.register("before-sign.s3.DeleteObjects", _add_digest)
        return made

    @cached_property
    def place(self) -> Place:
        """Where requests go, for errors."""
        region = self._settings.get("AWS_REGION", "us-east-1")
        endpoint = self._settings.get("S3_ENDPOINT") or f"https://s3.{region}.amazonaws.com"
        names = tuple(name for name in _CREDENTIALS if self._settings.get(name))
        values = (self._settings[name] for name in names)
        # what everybody can read in the address anyhow is no secret: minio at http://minio
        secrets = tuple(value for value in values if value not in f"{endpoint} {self.bucket}")
        return Place(self.bucket, endpoint, names, secrets)

    def head(self, key: str) -> Mapping[str, Any] | None:
        """Returns what the server says of an object, or None where there is none.

        Raises:
            StoreError: It can't be asked, or the bucket is missing.
        """
        with self.place.explained("Looking for", key):
            try:
                found: Mapping[str, Any] = self.client.head_object(Bucket=self.bucket, Key=key)
            except self.client.exceptions.ClientError as error:
                if code_of(error) not in ("404", "NoSuchKey"):
                    self._ask_why(key)
                    raise
                self._check_bucket()
                return None
        self._seen = True
        return found

    def get(self, key: str) -> bytes | None:
        """Returns an object's content, or None where there is none.

        Raises:
            StoreError: It can't be read.
        """
        with self.place.explained("Reading", key):
            for left in reversed(range(_READ_ATTEMPTS)):
                try:
                    body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
                except self.client.exceptions.NoSuchKey:
                    return None
                try:
                    with closing(body):
                        content: bytes = body.read()
                    return content
                except Exception as error:
                    # the client repeats requests, but not the reading of answers
                    if not left or code_of(error) not in _BROKEN_OFF:
                        raise
        raise AssertionError("the last try returns or raises")

    def _ask_why(self, key: str) -> None:
        """Raises what a HEAD was refused for: its answer has no room for words."""
        try:
            self.client.get_object(Bucket=self.bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except self.client.exceptions.ClientError as error:
            if code_of(error) not in ("NoSuchKey", "InvalidRange"):
                raise

    def _check_bucket(self) -> None:
        """Raises where not only the object is missing but the bucket; asked for once."""
        if self._seen:
            return
        try:
            self.client.list_objects_v2(Bucket=self.bucket, Prefix="?", MaxKeys=1)
        except self.client.exceptions.ClientError as error:
            if code_of(error) == "NoSuchBucket":
                raise
            return  # who may not list it learns no more
        self._seen = True


def _add_digest(request: Any, **_: Any) -> None:
    """Adds what older servers demand of this request, and newer clients have given up."""
    digest = hashlib.md5(request.body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()


def link_to(bucket: str, settings: tuple[tuple[str, str], ...], limits: Limits) -> Link:
    """Returns the link to a bucket: within one process the same one for the same settings.

    Args:
        bucket: The bucket.
        settings: Names and values, as for `kaptain_kfp.platform._s3.s3_client`.
        limits: How much at a time.
    """
    # connections must not be shared with a process that this one forks
    return _link(os.getpid(), bucket, settings, limits)


@lru_cache(maxsize=16)
def _link(_: int, bucket: str, settings: tuple[tuple[str, str], ...], limits: Limits) -> Link:
    return Link(bucket, dict(settings), limits)
