"""What a user writes to train a model, as a program of its own: ``python program.py <folder>``."""

from __future__ import annotations

import sys
from pathlib import Path

from kaptain_kfp import Config, Model

__all__ = ["model_in"]


def model_in(folder: Path) -> Model:
    """Returns a model whose script is ``trainer.py`` in a folder, and whose home is there, too."""
    return Model(
        id="bench/model",
        name="Bench",
        description="Prints a line",
        version="1",
        framework="sklearn",  # type: ignore[arg-type]
        framework_version="1",
        main_file="trainer.py",
        image_name="bench",
        base_image="python",
        config=Config.local(home=folder / "home", base_dir=str(folder)),
    )


if __name__ == "__main__":
    sys.exit(0 if model_in(Path(sys.argv[1])).train({}) else 1)
