"""What every place for images can do: a folder of this machine and a registry alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from kaptain_kfp.specs import BuiltImage, ModelIdentity, ModelSpec
from kaptain_kfp.store.base import Store

if TYPE_CHECKING:
    from kaptain_kfp.image.installation import Installation
    from kaptain_kfp.image.publisher import Publication

__all__ = ["Images"]


class Images(ABC):
    """The images of models."""

    @abstractmethod
    def find(
        self, name: str, checksum: str, identity: ModelIdentity | None = None
    ) -> BuiltImage | None:
        """Returns the image of that name if it has that content, else None.

        Args:
            name: Repository with tag.
            checksum: What its content must be.
            identity: The model that its labels, where it has any, must name; None for any.
        """

    @abstractmethod
    def reference(self, name: str, digest: str) -> str:
        """Returns what workloads run: the repository of a name, with the digest of an image.

        Args:
            name: Repository with tag.
            digest: ``sha256:`` and 64 hex digits.
        """

    def installation(
        self, what: Publication, store: Store, *, refresh_base: bool = False
    ) -> Installation | None:
        """Returns what a step has a Job of the cluster install for an image; None for nothing.

        Args:
            what: What is to be built.
            store: That of the models, which tells what was installed for others.
            refresh_base: Whether to look what the name of its base stands for by now.

        Raises:
            ImageBuildException: The requirements or the base can't be read.
        """
        return None

    @abstractmethod
    def build(
        self,
        model: ModelSpec,
        store: Store,
        log: Callable[[str], None],
        *,
        refresh_base: bool = False,
    ) -> BuiltImage:
        """Makes sure that a model's image is there.

        Args:
            model: What to build.
            store: Where its sources lie.
            log: Gets a line for each step, and the output of the installation.
            refresh_base: Whether to look what the name of its base stands for by now.

        Raises:
            ImageBuildException: It can't be built; nothing half-made is left behind.
            StoreError: The sources can't be read.
        """
