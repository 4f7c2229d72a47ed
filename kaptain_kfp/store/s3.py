"""A store that is a bucket, or a prefix in one: S3, MinIO, or what speaks like them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from kaptain_kfp.exceptions import StoreError, StoreNotFoundError
from kaptain_kfp.platform.config.provider import ConfigurationProvider

from . import s3create, s3transfer
from .base import Entry, Store
from .keys import check_key, check_prefix, is_key
from .oserrors import explained
from .s3link import Limits, Link, link_to
from .staging import fill, staged
from .trees import files_to_upload

__all__ = ["Limits", "S3Store"]

# within the class `list` is a method
_Names: TypeAlias = list[str]

_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")


class S3Store(Store):
    """Objects below a prefix of a bucket.

    Any number of processes may use one at a time. What they see:

    - Objects appear as a whole; what is under way is nowhere to be seen.
    - `upload` and `copy` of a folder: one object after the other appears, several at a time.
    - `create` is exact where the server minds ``If-None-Match``; see `s3create` for what remains
      where it doesn't.
    - `delete` removes a thousand objects at a time.

    URIs are written as everything else that reads ``s3://`` writes them: the key as it is, without
    percent-encoding. Objects whose keys no store takes, such as the folder marks (``a/``) of some
    browsers, aren't listed.

    A certificate authority of one's own: S3_CA_CERTIFICATES of the settings, beside those of
    AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE of this process.
    Requests that fail for a moment are repeated, five tries in all (AWS_MAX_ATTEMPTS).

    Args:
        uri: ``s3://bucket`` or ``s3://bucket/prefix``.
        settings: A storage provider; or variables as its `get_secret_body` names them, e.g. the
            environment of a process that has them from a Secret. Without keys, boto3 looks for
            credentials where it always does.
        limits: How much at a time, and how long.

    Raises:
        StoreError: The URI can't be used.
        ConfigurationError: The provider doesn't know its credentials.
    """

    def __init__(
        self,
        uri: str,
        settings: ConfigurationProvider | Mapping[str, str],
        *,
        limits: Limits | None = None,
    ) -> None:
        bucket, self._prefix = _parts(uri)
        self._uri = f"s3://{bucket}/{self._prefix}".rstrip("/")
        self._reach = (bucket, tuple(sorted(_variables(settings).items())), limits or Limits())

    def __repr__(self) -> str:
        return f"S3Store({self._uri!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, S3Store):
            return NotImplemented
        return (self._uri, self._reach) == (other._uri, other._reach)

    def __hash__(self) -> int:
        return hash(self._uri)

    @property
    def _link(self) -> Link:
        # asked for each time: in a forked process it is another one
        return link_to(*self._reach)

    @property
    def uri(self) -> str:
        """The base, ``s3://bucket/prefix``."""
        return self._uri

    def uri_of(self, key: str) -> str:
        """Returns the ``s3://`` URI of an object or prefix; nothing in it is encoded."""
        return f"{self._uri}/{key}" if check_prefix(key) else self._uri

    def key_of(self, uri: str) -> str:
        """Returns the key of an ``s3://`` URI below the base."""
        if not uri.startswith(f"{self._uri}/"):
            raise StoreError(
                f"{uri!r} doesn't lie below {self._uri!r}.",
                resource=str(uri),
                reason="InvalidUri",
                hint="Give a URI from this store, or make the store with that URI's base.",
            )
        return check_key(uri[len(self._uri) + 1 :])

    def read(self, key: str) -> bytes:
        """Returns the object's content."""
        data = self._link.get(self._whole(check_key(key)))
        if data is None:
            raise self._nothing(key)
        return data

    def write(self, key: str, data: bytes) -> None:
        """Writes the object as a whole."""
        whole = self._whole(check_key(key))
        with self._link.place.explained("Writing", whole):
            self._link.client.put_object(Bucket=self._link.bucket, Key=whole, Body=data)

    def create(self, key: str, data: bytes) -> bool:
        """Writes the object unless one is there."""
        return s3create.create(self._link, self._whole(check_key(key)), data)

    def size(self, key: str) -> int | None:
        """Returns the object's size in bytes, or None where there is none: one request."""
        found = self._link.head(self._whole(check_key(key)))
        return None if found is None else int(found["ContentLength"])

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yields the objects below a prefix, sorted by key, a page at a time."""
        return self._entries(check_prefix(prefix), recursive)

    def folders(self, prefix: str = "") -> Iterator[str]:
        """Yields the names directly below a prefix that have objects below them."""
        return self._folders(check_prefix(prefix))

    def upload(self, source: Path, key: str) -> int:
        """Copies a file to `key`, or a folder's content below it; an empty folder leaves nothing.

        Links in the folder are followed.

        Raises:
            StoreError: `source` is missing or can't be read; something in it leads out of it, or
                is neither file nor folder; the store can't be written to.
        """
        check_key(key)
        source = Path(source)
        with explained(f"Reading {source}", source):
            files = files_to_upload(source)
            s3transfer.upload(
                self._link, [(self._whole(_below(key, name)), path) for name, path in files]
            )
        return len(files)

    def download(self, prefix: str, target: Path) -> int:
        """Copies an object to the file `target`, or everything below a prefix into `target`.

        Each file appears as a whole; what else lies in the folder `target` stays.

        Raises:
            StoreNotFoundError: Nothing lies there.
            StoreError: It can't be read, or `target` can't be written to.
        """
        names = self._names(check_prefix(prefix))
        target = Path(target)
        if "" in names and len(names) > 1:
            raise StoreError(
                f"{self.uri_of(prefix)} is both an object and a folder; {target} can't be both.",
                resource=self.uri_of(prefix),
                reason="PathTaken",
                hint="Remove the one or the other in the bucket, or download what lies below.",
            )

        def bring(folder: Path) -> _Names:
            files = [(self._whole(_below(prefix, name)), folder / name) for name in names]
            s3transfer.download(self._link, files)
            return names

        with explained(f"Writing {target}", target):
            if names != [""]:
                return fill(target, bring)
            with staged(target.parent) as staging:
                s3transfer.download(self._link, [(self._whole(prefix), staging)])
                staging.replace(target)
            return 1

    def copy(self, prefix: str, target: str) -> int:
        """Copies an object, or everything below a prefix, within the bucket: nothing comes here."""
        check_key(target)
        names = self._names(check_prefix(prefix))
        pairs = [(self._whole(_below(prefix, n)), self._whole(_below(target, n))) for n in names]
        s3transfer.copy(self._link, pairs)
        return len(names)

    def delete(self, prefix: str) -> int:
        """Deletes the object and everything below it; nothing there is no error.

        Raises:
            StoreError: The prefix is empty (that would be the whole store), or something can't be
                deleted.
        """
        check_key(prefix)
        return s3transfer.delete(self._link, (self._whole(e.key) for e in self.list(prefix)))

    def _whole(self, key: str) -> str:
        """Returns the key in the bucket."""
        return f"{self._prefix}/{key}" if self._prefix and key else self._prefix or key

    def _entries(self, prefix: str, recursive: bool) -> Iterator[Entry]:
        if prefix:
            size = self.size(prefix)
            if size is not None:
                yield Entry(prefix, size)
        last = ""
        for page in self._pages(prefix, "" if recursive else "/"):
            for found in page.get("Contents", ()):
                key = self._key(found["Key"])
                # servers of files name what is just being replaced twice
                if key != last and is_key(key):
                    yield Entry(key, int(found["Size"]))
                last = key

    def _folders(self, prefix: str) -> Iterator[str]:
        start = len(f"{prefix}/") if prefix else 0
        for page in self._pages(prefix, "/"):
            for found in page.get("CommonPrefixes", ()):
                key = self._key(found["Prefix"])[:-1]
                if is_key(key):
                    yield key[start:]

    def _pages(self, prefix: str, delimiter: str) -> Iterator[Mapping[str, Any]]:
        """Yields the pages of the list of what is below a prefix."""
        whole = self._whole(prefix)
        start = f"{whole}/" if whole else ""
        with self._link.place.explained("Listing", start):
            pages = self._link.client.get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self._link.bucket, Prefix=start, Delimiter=delimiter)

    def _key(self, whole: str) -> str:
        return whole[len(self._prefix) + 1 :] if self._prefix else whole

    def _names(self, prefix: str) -> _Names:
        """Returns the paths below a prefix of what is there; empty for an object of that name."""
        names = [entry.key[len(prefix) :].lstrip("/") for entry in self.list(prefix)]
        if not names:
            raise self._nothing(prefix)
        return names

    def _nothing(self, key: str) -> StoreNotFoundError:
        return StoreNotFoundError(
            f"Nothing is stored under {key!r} in {self._uri}.",
            resource=f"{self._uri}/{key}",
            reason="NotFound",
            hint="Check the key, and that the store is the one that it was written to.",
        )


def _below(key: str, name: str) -> str:
    return "/".join(part for part in (key, name) if part)


def _variables(settings: ConfigurationProvider | Mapping[str, str]) -> Mapping[str, str]:
    """Returns the variables that matter, of an environment that holds others, too."""
    if isinstance(settings, ConfigurationProvider):
        return settings.get_secret_body()
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
    return {
        name: value
        for name, value in settings.items()
        if value.strip() and (name in names or name.startswith("S3_"))
    }


def _parts(uri: str) -> tuple[str, str]:
    """Returns the bucket and the prefix of a URI."""
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.rstrip("/")
    if scheme != "s3" or not _BUCKET.fullmatch(bucket) or not (not prefix or is_key(prefix)):
        raise StoreError(
            f"{uri!r} can't be the URI of a bucket.",
            reason="InvalidUri",
            hint="Give s3://bucket/prefix; a bucket has 3 to 63 of a-z, 0-9, dots and dashes.",
        )
    return bucket, prefix
