"""``kaptain image``: images of models, built from a shell, and looked into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .base import Settings, examples, json_option, pass_settings, print_json
from .registry import registry_config, registry_options

if TYPE_CHECKING:
    from kaptain_kfp.config import Config
    from kaptain_kfp.image.contents import LayerInfo
    from kaptain_kfp.image.publish import PublishOptions
    from kaptain_kfp.model.content import Content

__all__ = ["image"]

_FRAMEWORK = "sklearn"


@click.group()
def image() -> None:
    """Images in a registry: built without Docker, and looked into without being pulled."""


@image.command(
    epilog=examples(
        "kaptain image build train.py -n registry.example.com/team/mnist:1 -b python:3.11-slim",
        "kaptain image build train.py -n team/mnist -b pytorch/pytorch -r requirements.txt "
        "-f src --python-version 3.11 --exclude torch",
    )
)
@click.argument("main_file")
@click.option("-n", "--image-name", required=True, help="Repository, with a tag or without.")
@click.option("-b", "--base-image", required=True, help="What it is built on.")
@click.option("-f", "--extra-file", "extra_files", multiple=True, help="A further file or folder.")
@click.option("-r", "--requirements", help="A pip requirements file.")
@click.option("--base-dir", default=".", help="What the files are relative to; by default here.")
@click.option("--id", "model_id", help="The model's id; by default the image's repository.")
@click.option("--framework", default=_FRAMEWORK, show_default=True, help="The model's framework.")
@click.option("--framework-version", default="latest", show_default=True, help="Its version.")
@click.option(
    "--platform",
    metavar="OS/ARCH",
    help="What it runs on; by default what the one that is there does, else linux/amd64.",
)
@click.option("--python-version", metavar="X.Y", help="The Python of a base that doesn't tell it.")
@click.option("--exclude", multiple=True, help="A package that the base has already.")
@click.option("--zstd", is_flag=True, help="Pack layers with zstd, which old nodes don't read.")
@click.option("--refresh-base", is_flag=True, help="Look what the base's name stands for by now.")
@json_option
@registry_options
@pass_settings
def build(settings: Settings, /, refresh_base: bool, base_dir: str, **given: Any) -> None:
    """Build the image of a training script and push it, unless it is there.

    A Model with the same files, names, framework and version finds it, and only has its labels
    name that model.
    """
    from kaptain_kfp.image.progress import screen
    from kaptain_kfp.image.publish import publish

    registry = {name: given.pop(name) for name in ("registry_url", "docker_config", "ca")}
    config = registry_config(settings, **registry, base_dir=base_dir)
    options = _options(given)
    what = _content(config, **given).publication()
    with screen() as shown:
        built = publish(what, config, shown, options, refresh_base=refresh_base)
    if settings.json:
        print_json(built.dump())
    else:
        click.echo(built.reference)


@image.command(epilog=examples("kaptain image inspect registry.example.com/team/mnist:1"))
@click.argument("name")
@click.option("--platform", metavar="OS/ARCH", help="Which of several; by default linux/amd64.")
@json_option
@registry_options
@pass_settings
def inspect(settings: Settings, /, name: str, platform: str | None, **registry: Any) -> None:
    """Show an image: digest, base, platform, what it runs, labels."""
    from kaptain_kfp.display import print_facts
    from kaptain_kfp.image.contents import facts_of
    from kaptain_kfp.image.publish import parse_platform
    from kaptain_kfp.image.registry.configured import registry_client
    from kaptain_kfp.image.registry.names import image_reference

    config = registry_config(settings, **registry)
    with registry_client(config, name) as client:
        ref = image_reference(name, config.docker_registry_url)
        found = facts_of(client.image(ref, parse_platform(platform)))
    if settings.json:
        print_json(found)
    else:
        print_facts(found)


@image.command(epilog=examples("kaptain image layers registry.example.com/team/mnist:1"))
@click.argument("name")
@click.option("--platform", metavar="OS/ARCH", help="Which of several; by default linux/amd64.")
@json_option
@registry_options
@pass_settings
def layers(settings: Settings, /, name: str, platform: str | None, **registry: Any) -> None:
    """List an image's layers, the lowest first: size, content, of the base or new."""
    from kaptain_kfp.display import print_rows
    from kaptain_kfp.image.contents import layers_of
    from kaptain_kfp.image.publish import parse_platform
    from kaptain_kfp.image.registry.configured import registry_client
    from kaptain_kfp.image.registry.names import image_reference

    config = registry_config(settings, **registry)
    with registry_client(config, name) as client:
        ref = image_reference(name, config.docker_registry_url)
        found = layers_of(client, client.image(ref, parse_platform(platform)))
    if settings.json:
        print_json([layer.dump() for layer in found])
    else:
        print_rows([_row(layer) for layer in found], empty="It has no layers.")


def _row(layer: LayerInfo) -> dict[str, str]:
    return {
        "digest": layer.digest.removeprefix("sha256:")[:12],
        "size": f"{layer.size:,}",
        "from": layer.origin,
        "content": layer.content,
    }


def _options(given: dict[str, Any]) -> PublishOptions:
    """Takes out of the arguments what says how to build."""
    from kaptain_kfp.image.layers.packing import Compression
    from kaptain_kfp.image.publish import PublishOptions, parse_platform

    platform = given.pop("platform")
    return PublishOptions(
        platform=None if platform is None else parse_platform(platform),
        python_version=given.pop("python_version"),
        exclude=given.pop("exclude") or None,
        compression=Compression.ZSTD if given.pop("zstd") else Compression.GZIP,
    )


def _content(
    config: Config,
    *,
    main_file: str,
    image_name: str,
    base_image: str,
    extra_files: tuple[str, ...],
    requirements: str | None,
    model_id: str | None,
    framework: str,
    framework_version: str,
) -> Content:
    from kaptain_kfp.image.checksum import parse_image_name
    from kaptain_kfp.model.content import Content
    from kaptain_kfp.model.frameworks import ModelFramework
    from kaptain_kfp.model.identity import validate_model_id
    from kaptain_kfp.specs import Definition, ModelIdentity

    path = parse_image_name(image_name).path
    identity = ModelIdentity(
        id=validate_model_id(model_id or path),
        name=Path(path).name,
        description="",
        version=parse_image_name(image_name).tag or "latest",
        framework=ModelFramework.of(framework).value,
        framework_version=framework_version,
    )
    definition = Definition(
        identity=identity,
        main_file=main_file,
        image_name=image_name,
        base_image=base_image,
        extra_files=extra_files or None,
        requirements=requirements,
    )
    return Content.of(definition, config)
