"""How long `import kaptain_kfp` takes, against `import kfp`."""

from __future__ import annotations

from collections.abc import Iterator

from .measure import Result, alternating, python_seconds

__all__ = ["kfp_import_seconds", "run"]


def kfp_import_seconds(runs: int = 7) -> float:
    """Returns the seconds of `import kfp` alone, without the interpreter's start."""
    bare, kfp = alternating(
        runs, lambda: python_seconds("pass"), lambda: python_seconds("import kfp")
    )
    return kfp - bare


def run(kfp_seconds: float, runs: int = 7) -> Iterator[Result]:
    """Measures the package and the facade."""
    bare, package, facade = alternating(
        runs,
        lambda: python_seconds("pass"),
        lambda: python_seconds("import kaptain_kfp"),
        lambda: python_seconds("from kaptain_kfp import Config, Model"),
    )
    against = f"import kfp {kfp_seconds * 1000:.0f} ms"
    ratio = (package - bare) / kfp_seconds
    yield Result(
        "import kaptain_kfp", f"{ratio:.2f} ×", "≤ 0.20 × import kfp", ratio <= 0.2, against
    )
    ratio = (facade - bare) / kfp_seconds
    yield Result("from kaptain_kfp import Model", f"{ratio:.2f} ×", "", None, against)
