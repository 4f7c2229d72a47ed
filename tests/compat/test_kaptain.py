"""Old notebooks, in interpreters of their own: the alias stays for as long as a process lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


IMPORTS = [
    "from kaptain.model.models import Model",
    "from kaptain.model.frameworks import ModelFramework",
    "from kaptain.model.states import ModelState",
    "from kaptain.config import Config",
    "from kaptain.exceptions import ModelValidationException, UnsupportedModelFrameworkException",
    "from kaptain.hyperparameter import Domain",
    "from kaptain.hyperparameter.algorithms import Algorithm",
    "from kaptain.hyperparameter.domains import Categorical, Discrete, Double, Integer",
    "from kaptain.platform import constants",
    "from kaptain.platform.config.certificates import DockerRegistryCertificateProvider",
    "from kaptain.platform.config.defaults import DefaultMinioConfigurationProvider",
    "from kaptain.platform.config.docker import DockerConfigurationProvider",
    "from kaptain.platform.config.provider import ConfigurationProvider",
    "from kaptain.platform.config.s3 import S3ConfigurationProvider",
    "from kaptain.platform.image_builder_util import ImageBuilderUtil",
    "from kaptain.platform.metadata_util import MetadataUtil",
    "from kaptain.platform.model_export_util import ModelExportUtil",
    "from kaptain.platform.serving.packaging.artifact_builder import TorchServingArtifactBuilder",
    "from kaptain.platform.serving.transformer import Transformer",
    "from kaptain.utilities import blank, none_or_blank, sanitize_string",
    "from kaptain.utilities import MyFormatter, set_logging_format",
    "from kaptain import envs, utils",
    "import kaptain.model.models as models; models.Model",
]


@pytest.mark.parametrize("line", IMPORTS)
def test_an_old_import_works(line: str, tmp_path: Path) -> None:
    done = run(f"import kaptain_kfp.compat.kaptain\n{line}", tmp_path)
    assert done.returncode == 0, done.stderr


def test_old_and_new_are_the_same_objects(tmp_path: Path) -> None:
    code = """
import kaptain_kfp.compat.kaptain, kaptain_kfp.compat.kaptain
import kaptain, kaptain_kfp
from kaptain.exceptions import KaptainError as Old
from kaptain_kfp.exceptions import KaptainError as New
from kaptain import envs
assert kaptain is kaptain_kfp and Old is New
envs.VERBOSE = True
import kaptain_kfp.envs
assert kaptain_kfp.envs.VERBOSE is True
assert kaptain_kfp.__spec__.name == "kaptain_kfp"
"""
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_stub_of_the_name_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "kaptain.py").write_text("raise RuntimeError('the stub')")
    done = run("import kaptain_kfp.compat.kaptain\nfrom kaptain.config import Config", tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_an_import_error(tmp_path: Path) -> None:
    done = run("import kaptain_kfp.compat.kaptain\nimport kaptain.no_such_thing", tmp_path)
    assert "ModuleNotFoundError" in done.stderr and "kaptain.no_such_thing" in done.stderr


def test_nothing_happens_without_asking(tmp_path: Path) -> None:
    done = run("import kaptain_kfp, kaptain", tmp_path)
    assert "ModuleNotFoundError" in done.stderr
