"""Builds a Dockerfile, here where that can be done without running its base, else by a tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kaptain_kfp.config import Config
from kaptain_kfp.exceptions import ImageBuildException, ModelValidationException
from kaptain_kfp.image.builder import build_image
from kaptain_kfp.image.current import find_image
from kaptain_kfp.image.oci import canonical_json, sha256_digest
from kaptain_kfp.image.plain import PlainRecipe
from kaptain_kfp.image.progress import Screen
from kaptain_kfp.image.registry.client import RegistryClient
from kaptain_kfp.image.registry.configured import registry_client
from kaptain_kfp.image.registry.names import image_reference, is_loopback, is_plain_url
from kaptain_kfp.logs import get_logger
from kaptain_kfp.platform.config.docker import DockerConfigurationProvider
from kaptain_kfp.specs import BuiltImage, ImageSpec

from .context import Context
from .instructions import Instruction, read
from .interpreter import NeedsTool, base_of, pulled
from .layers import DockerfileLayers
from .tools import TOOLS, Tool, find_tool

__all__ = ["DockerfileBuild"]


@dataclass(frozen=True)
class DockerfileBuild:
    """The build of one Dockerfile.

    Attributes:
        name: The image's name.
        dockerfile: What it is made of.
        files: The files and folders that it copies, below the configuration's base folder.
        config: Where the files and the registry are.
    """

    name: str
    dockerfile: str
    files: tuple[str, ...]
    config: Config

    def run(self, shown: Screen) -> BuiltImage:
        """Builds and pushes the image, unless it is there with the same content.

        Args:
            shown: Is told how it goes.

        Raises:
            ModelValidationException: A file is missing, or the name isn't that of an image.
            ImageBuildException: The Dockerfile is wrong, needs a tool that isn't here, or the build
                failed.
        """
        instructions = read(self.dockerfile)
        context = Context.of(Path.cwd() / self.config.base_dir, self.files)
        checksum = self._checksum(context)
        try:
            base = base_of(instructions)
            return self._by_layers(instructions, base, context, checksum, shown)
        except NeedsTool as needed:
            return self._by_tool(instructions, context, checksum, needed, shown)

    def _checksum(self, context: Context) -> str:
        content = {"dockerfile": self.dockerfile, "files": context.digests()}
        return sha256_digest(canonical_json(content)).removeprefix("sha256:")[:32]

    def _client(self, shown: Screen) -> RegistryClient:
        return registry_client(self.config, self.name, progress=shown.progress)

    def _by_layers(
        self,
        instructions: Sequence[Instruction],
        base: str,
        context: Context,
        checksum: str,
        shown: Screen,
    ) -> BuiltImage:
        followed = DockerfileLayers(self.name, instructions, context, shown.log)
        recipe = PlainRecipe(
            ImageSpec(name=self.name, base_image=base, checksum=checksum),
            followed.layers,
            followed.settle,
            tuple(str(item) for item in instructions if item.name not in ("FROM", "COPY", "ADD")),
        )
        with self._client(shown) as client:
            return build_image(
                recipe,
                client,
                scratch=self.config.home / "builds",
                log=shown.log,
                registry_url=self.config.docker_registry_url,
            )

    def _by_tool(
        self,
        instructions: Sequence[Instruction],
        context: Context,
        checksum: str,
        needed: NeedsTool,
        shown: Screen,
    ) -> BuiltImage:
        url = self.config.docker_registry_url
        target = image_reference(self.name, url)
        # What it is built on makes no difference to what is looked for.
        image = ImageSpec(name=self.name, base_image=self.name, checksum=checksum)
        with self._client(shown) as client:
            found = find_image(image, client, registry_url=url)
            if found is not None:
                shown.log(f"{self.name} is up to date.")
                return found
            tool = _tool(needed)
            get_logger().info("%s: %s builds it, for %s.", self.name, tool.name, needed)
            certificates = self.config.docker_registry_certificate_provider
            tool.build(
                str(target),
                self.dockerfile,
                context,
                checksum,
                shown.log,
                login=_login(self.config),
                ca=certificates.get_secret_body()["ca.crt"] if certificates else None,
                plain=certificates is None
                and (is_loopback(target.registry) or bool(url and is_plain_url(url))),
                ours=_comes_from(target.registry, instructions),
            )
            built = find_image(image, client, registry_url=url)
        if built is None:
            raise ImageBuildException(
                f"{tool.name} says that it has pushed {self.name}, and {target.registry} doesn't "
                "have it.",
                resource=self.name,
                reason="NotPushed",
                hint="Build again; somebody else may have pushed another image of that name.",
            )
        return built.model_copy(update={"built": True})


def _tool(needed: NeedsTool) -> Tool:
    tool = find_tool()
    if tool is None:
        raise ImageBuildException(
            f"dockerfile_content, {needed}: that needs one of {', '.join(TOOLS)}, and none is "
            "here.",
            reason="ToolMissing",
            hint="Install one, or keep to FROM, COPY and ADD of files, RUN pip install, ENV, LABEL,"
            " ARG, WORKDIR, USER, EXPOSE, ENTRYPOINT and CMD.",
        )
    return tool


def _comes_from(registry: str, instructions: Sequence[Instruction]) -> bool:
    """Tells whether all that a tool pulls is known to come from one registry, or this machine."""
    try:
        asked = {image_reference(name).registry for name in pulled(instructions)}
    except (ImageBuildException, ModelValidationException):
        return False
    return all(found == registry or is_loopback(found) for found in asked)


def _login(config: Config) -> str | None:
    provider = config.docker_config_provider
    if provider is None:
        return None
    if isinstance(provider, DockerConfigurationProvider):
        return provider.config_json.get_secret_value()
    return provider.get_secret_body()[".dockerconfigjson"]
