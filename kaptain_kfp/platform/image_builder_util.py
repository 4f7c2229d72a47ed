"""Images of any kind, from a Dockerfile."""

from __future__ import annotations

from collections.abc import Sequence

from kaptain_kfp import envs
from kaptain_kfp.config import Config, config_or_default
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.image.checksum import parse_image_name
from kaptain_kfp.specs import BuiltImage

__all__ = ["ImageBuilder", "ImageBuilderUtil"]


class ImageBuilder:
    """Builds one image; see `ImageBuilderUtil.builder`."""

    def __init__(
        self, image_name: str, dockerfile_content: str, files: Sequence[str], config: Config
    ) -> None:
        self._name = image_name
        self._dockerfile = dockerfile_content
        self._files = tuple(files)
        self._config = config

    def build_image(self, verbose: bool | None = None) -> BuiltImage:
        """Builds the image and pushes it, unless it is there with the same content.

        Without any container engine where the Dockerfile only has FROM, COPY and ADD of files, RUN
        pip install, ENV, LABEL, ARG, WORKDIR, USER, EXPOSE, ENTRYPOINT and CMD; else with buildah,
        podman or docker, whichever is here. The log says which.

        Args:
            verbose: Show each step; by default `envs.VERBOSE`.

        Returns:
            The image: its `reference` names it by digest.

        Raises:
            ModelValidationException: A file is missing, or lies outside of the base folder.
            ImageBuildException: The Dockerfile is wrong, needs a tool that isn't here, or the build
                failed.
        """
        from kaptain_kfp.image.dockerfile.build import DockerfileBuild
        from kaptain_kfp.image.progress import screen

        with screen(lines=envs.VERBOSE if verbose is None else verbose) as shown:
            return DockerfileBuild(self._name, self._dockerfile, self._files, self._config).run(
                shown
            )


class ImageBuilderUtil:
    """Makes builders of images."""

    @staticmethod
    def builder(
        image_name: str,
        dockerfile_content: str,
        files: Sequence[str] | None = None,
        *,
        config: Config | None = None,
    ) -> ImageBuilder:
        """Returns what builds an image from a Dockerfile.

        Args:
            image_name: Repository, with a tag or without.
            dockerfile_content: The text of the Dockerfile.
            files: Files and folders that it copies, below `Config.base_dir`; they keep their paths.
            config: Where files and registry are; by default that of the world.

        Raises:
            ModelValidationException: An argument can't be.
            ConfigurationError: The default configuration can't be read.
        """
        parsed = parse_image_name(image_name)
        if parsed.digest:
            raise ModelValidationException(
                f"image_name: {image_name!r} has a digest, which is known once it is built.",
                hint="Give it a tag.",
            )
        if not isinstance(dockerfile_content, str) or not dockerfile_content.strip():
            raise ModelValidationException(
                "dockerfile_content is blank, or no text.",
                hint="Give the text of a Dockerfile, not its path.",
            )
        if isinstance(files, str):
            raise ModelValidationException(
                f"files: {files!r} is text, not a list.", hint=f"Write files=[{files!r}]."
            )
        return ImageBuilder(image_name, dockerfile_content, files or (), config_or_default(config))
