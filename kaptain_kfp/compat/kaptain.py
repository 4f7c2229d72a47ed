"""Lets notebooks that were written for the Kaptain SDK run as they are.

After ``import kaptain_kfp.compat.kaptain``, ``kaptain`` and every module below it stand for
``kaptain_kfp`` and its modules: the very same objects, so that classes and exceptions compare as
they should.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

__all__: list[str] = []

_OLD, _NEW = "kaptain", "kaptain_kfp"


class _Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module of the old name under the new one."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _OLD and not fullname.startswith(f"{_OLD}."):
            return None
        if importlib.util.find_spec(_new_name(fullname)) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Puts the real module in the place of the new, empty one."""
        sys.modules[module.__name__] = importlib.import_module(_new_name(module.__name__))


def _new_name(fullname: str) -> str:
    return _NEW + fullname[len(_OLD) :]


if not any(isinstance(finder, _Alias) for finder in sys.meta_path):
    # Before the others: a stub of the name may be installed.
    sys.meta_path.insert(0, _Alias())
