"""How `model.build()` publishes an image, as a program: ``publisher.py <folder> <base> <name>``.

The training code is in ``<folder>/project``, and goes the way that it goes from a notebook: checked
and digested, sent to the store, and from there into an image on top of a base.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kaptain_kfp.config import Config
from kaptain_kfp.image.published import PublishedImages
from kaptain_kfp.model.content import Content
from kaptain_kfp.specs import Definition, ModelIdentity, StoreSpec
from kaptain_kfp.store.folder import FolderStore

__all__: list[str] = []


def main(folder: Path, base: str, name: str) -> None:
    """Publishes an image, unless it is there."""
    config = Config.local(home=folder / "home", base_dir=str(folder / "project"))
    identity = ModelIdentity(
        id="bench/image",
        name="Bench",
        description="",
        version="1",
        framework="sklearn",
        framework_version="1",
    )
    definition = Definition(
        identity=identity,
        main_file="trainer.py",
        image_name=name,
        base_image=base,
        extra_files=("package", "requirements.txt"),
    )
    store = FolderStore(folder / "store")
    model = Content.of(definition, config).send(store, StoreSpec(uri=str(folder / "store")))
    built = PublishedImages(config).build(model, store, print)
    if not built.built:
        sys.exit(f"{name} was there already")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
