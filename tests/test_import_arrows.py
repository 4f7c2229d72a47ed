"""Who may import whom: the layers of the package, and who may touch which foreign package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaptain_kfp.image.layers.helpers import TRAINING_MODULES

PACKAGE = "kaptain_kfp"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

# from the bottom up; a module belongs to the longest name that it lies in, and may import
# its own layer and those below
LAYERS: tuple[tuple[str, ...], ...] = (
    ("exceptions", "envs", "logs", "utilities", "version"),
    (
        *("specs", "quantities", "hyperparameter", "platform", "config"),
        # everything else in `model` is the facade
        *("model.__init__", "model.states", "model.frameworks", "model.resources"),
        *("model.meta", "model.identity", "model.values"),
    ),
    ("manifests",),
    ("local",),
    ("cluster", "image", "store", "rollout"),
    ("components",),
    ("compiler", "runs"),
    ("model", "checkup", "platform.image_builder_util"),
    ("cli", "display", "utils"),
)
FREE = ("__init__", "__main__", "compat", "testing")
"""May import anything; nobody else may import them."""

IN_TRAINING_IMAGES = TRAINING_MODULES
"""Copied into training images: the standard library, each other, and boto3 once it is needed."""

FOREIGN: dict[str, tuple[str, ...]] = {
    "kfp.Client": ("runs.kfp",),
    "kfp.client": ("runs.kfp",),
    "kfp_server_api": ("runs.kfp_connection", "runs.kfp_failures"),
    "kfp.local": ("runs.local_executor",),
    "kfp": ("components", "compiler", "runs"),
    "kubernetes": ("cluster.kubernetes",),
    "boto3": ("store.s3", "platform"),
    "botocore": ("store.s3", "platform"),
    "s3transfer": ("store.s3transfer",),
    "urllib3": ("image.registry", "cluster.kubernetes", "runs.kfp_connection", "runs.kfp_failures"),
    "zstandard": ("image.layers.packing",),
    "packaging": ("image", "checkup.machine"),
}
"""Who may touch a foreign name; the longest one that fits counts."""

LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
}


@dataclass(frozen=True)
class Import:
    """One import: `target` is the full name of what is imported, `at_start` not in a function."""

    target: str
    line: int
    at_start: bool


def imports(module: str, tree: ast.AST, at_start: bool = True) -> Iterator[Import]:
    """Yields every import and every `kfp.Client`-like use, at any depth."""
    for node in ast.iter_child_nodes(tree):
        for target in _targets(module, node):
            yield Import(target, getattr(node, "lineno", 0), at_start)
        function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from imports(module, node, at_start and not function)


def _targets(module: str, node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _base(module, node)
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args:
        function, name = node.func, node.args[0]
        word = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        dynamic = word in ("import_module", "__import__")
        if dynamic and isinstance(name, ast.Constant) and isinstance(name.value, str):
            return [name.value]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        name_used = f"{node.value.id}.{node.attr}"
        return [name_used] if name_used in FOREIGN else []
    return []


def _base(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    # `module` ends in __init__ for packages, so one level up is always the package itself
    above = [PACKAGE, *module.split(".")][: -node.level]
    return ".".join([*above, *([node.module] if node.module else [])])


def longest(name: str, names: Container[str]) -> str | None:
    """Returns the longest of `names` that is `name` or one of its parents."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        candidate = ".".join(parts[:length])
        if candidate in names:
            return candidate
    return None


def layer(module: str) -> int:
    """Returns the number of the layer that a module belongs to."""
    name = longest(module, LAYER_OF)
    assert name is not None, (
        f"{PACKAGE}.{module} belongs to no layer: place it in LAYERS of {Path(__file__).name}, "
        "as the design says who may import whom."
    )
    return LAYER_OF[name]


def violations(module: str, source: str) -> list[str]:
    """Returns what is wrong with the imports of a module, one line each."""
    if longest(module, FREE):
        return []
    found = []
    for item in imports(module, ast.parse(source)):
        ours = item.target.split(".")[0] == PACKAGE
        wrong = _ours(module, item.target) if ours else _foreign(module, item)
        if wrong:
            found.append(f"{PACKAGE}.{module}:{item.line} imports {item.target}: {wrong}")
    return found


def _ours(module: str, target: str) -> str | None:
    other = ".".join(target.split(".")[1:])
    if longest(other, LAYER_OF) is None:
        return "import the module that defines it, not what may import anything"
    if module in IN_TRAINING_IMAGES and not longest(other, IN_TRAINING_IMAGES):
        return "training images hold only " + ", ".join(IN_TRAINING_IMAGES)
    if layer(other) > layer(module):
        return f"it lies above; this layer is {LAYERS[layer(module)]}"
    return None


def _foreign(module: str, item: Import) -> str | None:
    top = item.target.split(".")[0]
    allowed = longest(item.target, FOREIGN)
    if allowed and not longest(module, FOREIGN[allowed]):
        return f"only {', '.join(FOREIGN[allowed])} may"
    if module in IN_TRAINING_IMAGES and top not in sys.stdlib_module_names:
        if top not in ("boto3", "botocore"):
            return "training images have only the standard library"
        if item.at_start:
            return "import it inside the function that needs it"
    return None


@pytest.mark.parametrize("module", sorted(MODULES))
def test_arrows_go_down(module: str) -> None:
    if not longest(module, FREE):
        layer(module)
    assert violations(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_all_modules_are_seen() -> None:
    assert {"exceptions", "specs", "model.frameworks", "store.__init__"} <= set(MODULES)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("manifests.job", "from kaptain_kfp.local import objects"),
        ("manifests.job", "def f():\n    from kaptain_kfp.store.base import Store"),
        (
            "manifests.job",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import kaptain_kfp.store",
        ),
        ("manifests.job", "from ..store import base"),
        ("manifests.__init__", "from ..store.base import Store"),
        ("manifests.job", "import importlib\nimportlib.import_module('kaptain_kfp.store')"),
        ("exceptions", "from kaptain_kfp import specs"),
        ("exceptions", "import kaptain_kfp.specs as s"),
        ("model.states", "from kaptain_kfp.model import models"),
        ("model.__init__", "from kaptain_kfp.model.models import Model"),
        ("components.train", "from kaptain_kfp.model.models import Model"),
        ("components.train", "from kaptain_kfp.runs.base import Runner"),
        ("store.s3", "from kaptain_kfp.components import train"),
        ("local.kubelet", "from kaptain_kfp.image import layers"),
        ("runs.kfp", "from kaptain_kfp.model.models import Model"),
        ("runs.kfp", "from kaptain_kfp import Model"),
        ("runs.kfp", "import kaptain_kfp"),
        ("runs.kfp", "from kaptain_kfp.testing import faces"),
        ("runs.kfp", "from kaptain_kfp.compat import aliases"),
        ("model.models", "from kaptain_kfp.cli import main"),
        ("runs.local", "from kfp import Client"),
        ("runs.local", "import kfp\nkfp.Client()"),
        ("runs.local", "from kfp.client import Client"),
        ("runs.local", "import kfp_server_api"),
        ("runs.kfp", "import kfp_server_api"),
        ("runs.local", "from kfp import local"),
        ("runs.kfp", "import kfp.local"),
        ("model.models", "from kfp import dsl"),
        ("store.folder", "import kfp"),
        ("cluster.diagnose", "from kubernetes import client"),
        ("runs.kfp", "import kubernetes.client"),
        ("image.registry", "import boto3"),
        ("runs.kfp", "from botocore.exceptions import ClientError"),
        ("platform.metadata_util", "from kaptain_kfp import exceptions"),
        ("platform.metadata_util", "from . import constants"),
        ("platform.metadata_util", "import boto3"),
        ("platform.metadata_util", "import pydantic"),
        ("platform.metadata_util", "def f():\n    import numpy"),
    ],
)
def test_finds_a_forbidden_import(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("manifests.job", "from kaptain_kfp.specs import ModelSpec"),
        ("manifests.job", "from .names import sanitise"),
        ("manifests.job", "from kaptain_kfp.manifests import names"),
        ("image.build", "from kaptain_kfp.store import base"),
        ("config", "from kaptain_kfp.platform.config.s3 import S3ConfigurationProvider"),
        ("platform.config.s3", "from kaptain_kfp import exceptions"),
        ("platform.config.s3", "from ...exceptions import ConfigurationError"),
        ("platform.metadata_util", "from kaptain_kfp.platform import _job\nimport json"),
        ("platform.metadata_util", "def f():\n    import boto3"),
        ("components.train", "from kfp import dsl, kubernetes\nfrom kfp.compiler import Compiler"),
        ("runs.kfp", "import kfp\nkfp.Client()"),
        ("runs.local_executor", "from kfp import local"),
        ("cluster.kubernetes", "from kubernetes import client"),
        ("store.s3", "import boto3"),
        ("testing.faces", "from kaptain_kfp.model.models import Model\nimport kubernetes"),
        ("compat.aliases", "import kaptain_kfp"),
        ("__init__", "from kaptain_kfp.model.models import Model"),
        ("model.models", "from kaptain_kfp.runs.kfp import KfpRunner"),
        ("utils", "from kaptain_kfp.display import table"),
    ],
)
def test_leaves_the_others_alone(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_asks_to_place_a_new_module() -> None:
    with pytest.raises(AssertionError, match="place it in LAYERS"):
        layer("helpers.text")


def test_the_package_itself_is_light() -> None:
    program = (
        f"import sys, {PACKAGE}; "
        "print(*sorted({'kfp', 'kubernetes', 'boto3', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
