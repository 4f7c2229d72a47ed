"""Writes what is generated from the code: compiled pipelines and published components.

Run ``python -m kaptain_kfp.compiler.export [--check]`` in a checkout. With ``--check`` nothing is
written; exit code 1 and a list of files say what is out of date.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from .pipelines import COMPONENTS, PIPELINES

__all__ = ["generated", "main"]

_SDK_VERSION = "kfp-2.17.0"


def generated() -> dict[str, str]:
    """Returns the content of every generated file by its path in the checkout."""
    return dict(_generated())


def _generated() -> Iterator[tuple[str, str]]:
    for name, component in COMPONENTS.items():
        text, _ = _compile(component)
        yield f"components/{name}/component.yaml", text
        yield f"components/{name}/README.md", _readme(name, component)
    for name, pipeline in PIPELINES.items():
        text, specs = _compile(pipeline)
        yield f"pipelines/{name}.yaml", text
        for spec, kind in zip(specs, ("", ".platform"), strict=True):
            path = f"kaptain_kfp/compiler/compiled/{name}{kind}.json"
            yield path, json.dumps(spec, indent=1) + "\n"


def _compile(thing: Any) -> tuple[str, list[dict[str, Any]]]:
    """Returns the compiled form as text, and its documents: the IR, perhaps the platform's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "compiled.yaml"
        compiler.Compiler().compile(thing, str(path))
        # Which kfp of those that we support compiled it makes no difference.
        text = re.sub(
            r"sdkVersion: kfp-[\w.]+", f"sdkVersion: {_SDK_VERSION}", path.read_text("utf-8")
        )
    return text, list(yaml.safe_load_all(text))


def _readme(name: str, component: Any) -> str:
    spec = component.component_spec
    lines = [
        f"# {name}",
        "",
        *(spec.description or "").strip().splitlines(),
        "",
        "```python",
        "from kfp import components",
        "",
        f"{name.replace('-', '_')} = components.load_component_from_file("
        f'"components/{name}/component.yaml")',
        "```",
        "",
        "| input | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for key, given in (spec.inputs or {}).items():
        default = "required" if not given.optional else f"`{given.default!r}`"
        lines.append(f"| `{key}` | {given.type} | {default} | {given.description or ''} |")
    lines += ["", "| output | type |", "| --- | --- |"]
    lines += [f"| `{key}` | {made.type} |" for key, made in (spec.outputs or {}).items()]
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Writes the generated files, or with ``--check`` says which are out of date."""
    root = Path(__file__).parents[2]
    stale = [
        (root / path, text)
        for path, text in _generated()
        if not (root / path).exists() or (root / path).read_text("utf-8") != text
    ]
    for path, text in stale:
        print(path.relative_to(root))
        if "--check" not in argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
