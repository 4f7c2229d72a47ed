"""Puts files where trained models go: a folder, or a prefix of a bucket.

Standard library only, boto3 only for ``s3://``: this module goes into training images.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from kaptain_kfp.platform._s3 import s3_client

__all__ = ["Target", "files_below", "target_of"]

_STAGING_PREFIX = ".kaptain-staging-"
"""Names that stores never list."""


class Target(Protocol):
    """A place that takes whole files."""

    def put(self, source: Path, name: str) -> None:
        """Copies a file to a name below the place."""

    def append(self, name_suffix: str, text: str) -> None:
        """Appends text to the object that is named as the place with a suffix."""


def target_of(uri: str) -> Target:
    """Returns the place that a URI or path stands for.

    Raises:
        ValueError: Its scheme isn't known.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")  # as it is: keys may hold "#" and "?"
        if bucket and prefix.strip("/"):
            return _Bucket(bucket, prefix.strip("/"), os.environ)
        raise ValueError(f"models can't be stored at {uri!r}: give s3://bucket/prefix")
    if uri.startswith("file:"):
        return _Folder(Path(unquote(urlsplit(uri).path)))
    if rest:
        raise ValueError(f"models can't be stored at {uri!r}: give s3://, file:// or a path")
    return _Folder(Path(uri))


def files_below(source: Path) -> Iterator[tuple[Path, str]]:
    """Yields the files of a folder with their names below it, or one file with its own name."""
    if source.is_file():
        yield source, source.name
        return
    for root, folders, names in os.walk(source, followlinks=True):
        # a link to a folder above would lead round in circles
        here = Path(root).resolve()
        above = (here, *here.parents)
        folders[:] = sorted(f for f in folders if (Path(root) / f).resolve() not in above)
        for path in sorted(Path(root) / name for name in names):
            if not path.is_file():
                raise FileNotFoundError(f"{str(path)!r} is no file that could be stored")
            yield path, path.relative_to(source).as_posix()


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: Path, name: str) -> None:
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{_STAGING_PREFIX}{os.getpid()}-{target.name}")
        try:
            shutil.copyfile(source, draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def append(self, name_suffix: str, text: str) -> None:
        path = self._folder.with_name(self._folder.name + name_suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


class _Bucket:
    def __init__(self, bucket: str, prefix: str, environment: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._client = s3_client(environment)

    def put(self, source: Path, name: str) -> None:
        self._client.upload_file(str(source), self._bucket, f"{self._prefix}/{name}")

    def append(self, name_suffix: str, text: str) -> None:
        """Rewrites the object whole: object stores can't append.

        AWS denies access to an object that isn't there yet to whoever may not list the bucket. Then
        it is created, on condition, which AWS minds, that nothing is there: so a first call needs
        no right to list, and what can't be read isn't overwritten.
        """
        key = self._prefix + name_suffix
        try:
            before = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._client.exceptions.ClientError as error:
            if _code(error) == "AccessDenied":
                self._create(key, text.encode(), error)
                return
            if _code(error) != "NoSuchKey":
                raise
            before = b""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=before + text.encode())

    def _create(self, key: str, data: bytes, denied: Exception) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
        except self._client.exceptions.ClientError as error:
            if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise denied from None  # it is there: reading it is what isn't allowed
            raise


def _code(error: Any) -> str:
    return str(error.response["Error"]["Code"])
