"""A Dockerfile as layers and settings on its base, which the registry tells of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from kaptain_kfp.exceptions import ImageBuildException
from kaptain_kfp.image.builder import Log, NewLayer
from kaptain_kfp.image.layers.config import with_variables
from kaptain_kfp.image.layers.packages import requirements_layer
from kaptain_kfp.image.layers.tar import LayerEntry, LayerPlan
from kaptain_kfp.image.registry.images import RemoteImage
from kaptain_kfp.image.wheel_target import wheel_target
from kaptain_kfp.image.wheels import install_wheels
from kaptain_kfp.logs import get_logger

from .context import Context
from .installs import check_failure, merged
from .instructions import Instruction
from .interpreter import Copy, NeedsTool, Outcome, interpret

__all__ = ["DockerfileLayers"]


class DockerfileLayers:
    """Follows a Dockerfile once its base is known; `layers` and `settle` fit `PlainRecipe`.

    Args:
        name: The image's name.
        instructions: Of the Dockerfile.
        context: The files that it copies.
        log: Gets a line for each step, and the output of pip.
    """

    def __init__(
        self, name: str, instructions: Sequence[Instruction], context: Context, log: Log
    ) -> None:
        self._name = name
        self._instructions = instructions
        self._context = context
        self._log = log
        self._made = Outcome({})

    def layers(self, base: RemoteImage, folder: Path) -> Sequence[NewLayer]:
        """Returns the layers, from the lowest to the topmost.

        Raises:
            NeedsTool: An instruction can't be followed without running the base.
            ImageBuildException: An instruction is wrong, a requirement can't be installed, or the
                base can't be built on.
        """
        settings = base.config.get("config") or {}
        if settings.get("OnBuild"):
            begin = next(item for item in self._instructions if item.name == "FROM")
            name = base.reference.name
            raise NeedsTool(
                begin, f"{name} has instructions of its own for what is built on it (ONBUILD)"
            )
        self._made = interpret(self._instructions, settings, self._context)
        get_logger().info("%s: layers are enough, no container engine is needed.", self._name)
        copies = [_layer(copy) for copy in self._made.copies]
        return [self._installed(base, folder), *copies] if self._made.installs else copies

    def settle(self, settings: dict[str, Any]) -> None:
        """Puts what containers are started with in place of what they are by the base."""
        settings.clear()
        settings.update(self._made.settings)
        if self._made.installs:
            settings["Env"] = with_variables(settings.get("Env"), {})

    def _installed(self, base: RemoteImage, folder: Path) -> LayerPlan:
        installs = self._made.installs
        listed = merged(installs, folder)
        target = wheel_target(base.config, base.platform)
        self._log(f"Installing what the Dockerfile does, for Python {target.version}.")
        place = folder / "installed"
        try:
            done = install_wheels(listed, self._context.base, target, place, self._log)
        except ImageBuildException as error:
            check_failure(installs, error)
            raise
        return requirements_layer(done.packages)


def _layer(copy: Copy) -> LayerPlan:
    # those of the base keep their permissions: only a folder without content is told of
    filled = {str(parent) for path in copy.files for parent in PurePosixPath(path).parents}
    entries = (
        LayerEntry(path.lstrip("/"), file.mode, None if file.folder else file)
        for path, file in copy.files.items()
        if path not in filled
    )
    return LayerPlan(str(copy.instruction), tuple(entries))
