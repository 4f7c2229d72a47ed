"""What the program that executes a run loads of kfp."""

from __future__ import annotations

import os
import subprocess
import sys

LOADS = """
import os, sys
from kaptain_kfp.runs import local_executor
local_executor.skip_client_of_kfp()
from kfp import dsl, local
from kfp.components import load_component_from_text
print(*sorted({"kfp.client", "kfp_server_api", "kubernetes", "google.auth"} & set(sys.modules)))
print(hasattr(dsl, "pipeline"), hasattr(dsl, "PipelineTask"), os.environ.get("_KFP_RUNTIME"))
"""


def test_kfp_is_loaded_without_its_client_but_otherwise_whole() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "_KFP_RUNTIME"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["", "True True None"]
