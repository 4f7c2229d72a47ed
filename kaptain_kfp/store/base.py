"""What every store can do: the contract that folders and object stores meet alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Entry", "Store"]


@dataclass(frozen=True)
class Entry:
    """One stored object.

    Attributes:
        key: Its name below the store's base, with forward slashes.
        size: Bytes.
    """

    key: str
    size: int


class Store(ABC):
    """Objects under keys below one base URI.

    Keys are relative, forward slashes, without empty, ``.`` or ``..`` parts; anything else raises
    `StoreError`. A prefix ends at a slash: ``a/b`` as a prefix means the object ``a/b`` and
    everything below ``a/b/``, never ``a/bc``.

    Stores are equal when they reach the same base in the same way, credentials included.
    """

    @property
    @abstractmethod
    def uri(self) -> str:
        """The base, e.g. ``file:///home/me/.kaptain/models`` or ``s3://kaptain/models``."""

    @abstractmethod
    def uri_of(self, key: str) -> str:
        """Returns the URI under which the object or prefix is known outside."""

    @abstractmethod
    def key_of(self, uri: str) -> str:
        """Returns the key of a URI below the base; raises `StoreError` for any other URI."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Returns the object's content; raises `StoreNotFoundError` where there is none."""

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Writes the object as a whole, replacing what was there; readers see old or new."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Writes the object unless one is there.

        Returns:
            True if it was written, False if one was there already (which stays as it is).
        """

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Returns the object's size in bytes, or None where there is none."""

    @abstractmethod
    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """Yields the objects below a prefix, sorted by key.

        Args:
            prefix: Where to look; empty for everything.
            recursive: False for only the objects directly below the prefix.
        """

    @abstractmethod
    def folders(self, prefix: str = "") -> Iterator[str]:
        """Yields the names directly below a prefix that have objects below them.

        They come in the order of the keys below them: ``a-b`` before ``a``. What lies below them
        is not looked at, however much it is.

        Args:
            prefix: Where to look; empty for the whole store.
        """

    @abstractmethod
    def upload(self, source: Path, key: str) -> int:
        """Copies a file to `key`, or a folder's content below it.

        What is not complete is not visible: a file appears as a whole.

        Returns:
            The number of files.

        Raises:
            StoreError: `source` is missing or can't be read.
        """

    @abstractmethod
    def download(self, prefix: str, target: Path) -> int:
        """Copies the object `prefix` to the file `target`, or everything below it into `target`.

        Returns:
            The number of files.

        Raises:
            StoreNotFoundError: Nothing lies there.
        """

    @abstractmethod
    def copy(self, prefix: str, target: str) -> int:
        """Copies the object or everything below `prefix` to `target` within the store.

        Returns:
            The number of objects.

        Raises:
            StoreNotFoundError: Nothing lies there.
        """

    @abstractmethod
    def delete(self, prefix: str) -> int:
        """Deletes the object and everything below it; nothing there is no error.

        Returns:
            The number of objects deleted.
        """
