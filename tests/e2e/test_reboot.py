"""A reboot: all processes gone at once, and their pids given to others.

The machine is a namespace of pids of its own: whoever kills its first process kills all, and the
next one counts from 1 again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kaptain_kfp.testing.homes import end_home, pod_processes

from .conftest import Eventually, Gate, MakeModel, need_root

BEFORE = """
import sys, time
from kaptain_kfp import Config, Model
model = Model(id="dev/digits", name="D", description="d", version="1", framework=sys.argv[2],
    framework_version="1", main_file="trainer.py", image_name="i", base_image="b",
    config=Config.local(base_dir=sys.argv[1]))
assert model.train({"--C": 1}, wait=False)
time.sleep(1000)
"""

# Takes every pid that the processes before the reboot had, and sees that nobody harms them.
AFTER = """
import subprocess, sys
from kaptain_kfp import Config, Model
last = int(sys.argv[1])
decoys = []
while not decoys or decoys[-1].pid < last:
    decoys.append(subprocess.Popen(["sleep", "1000"]))
model = Model.attach("dev/digits", config=Config.local())
try:
    print(model.last_run.wait(60).value)
except Exception as error:
    print(type(error).__name__)
print([decoy.poll() for decoy in decoys] == [None] * len(decoys))
for decoy in decoys:
    decoy.kill()
"""


def machine(script: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    """Boots a machine whose first process runs a script."""
    boot = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command = [*boot, sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload,no-any-return]


def pids_within(pids: list[int]) -> list[int]:
    """Returns what processes are called in their own namespace."""
    found = []
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
        found.append(int(line.split()[-1]))
    return found


@pytest.mark.fault("reboot: all processes gone at once, pids reused")
@pytest.mark.parametrize(
    ("framework", "starts"),
    [
        # The pod of a Job is replaced; the end of a replica ends its job, and the step, which is
        # executed again, starts another one, whose master may be through before its worker.
        ("sklearn", {2}),
        ("pytorch", {3, 4}),
    ],
)
def test_a_reboot_in_mid_train(
    make_model: MakeModel,
    project: Path,
    gate: Gate,
    kaptain_home: Path,
    framework: str,
    starts: set[int],
    eventually: Eventually,
) -> None:
    need_root("unshare")
    script = gate.script.replace("LOCK_NB)", "LOCK_NB)\n    alone = None")  # two replicas
    make_model(script if framework == "pytorch" else gate.script)
    before = machine(BEFORE, str(project), framework, stderr=subprocess.DEVNULL)
    replicas = 2 if framework == "pytorch" else 1
    try:
        eventually(lambda: gate.starts == replicas, "the script runs")
        running = pod_processes(kaptain_home)
        info = json.loads((kaptain_home / "supervisor.json").read_text())
        last = max([info["pid"], *pids_within(list(running))])
        children = f"/proc/{before.pid}/task/{before.pid}/children"
        (first,) = Path(children).read_text().split()
        os.kill(int(first), signal.SIGKILL)
        before.wait()
        assert not pod_processes(kaptain_home), "the machine is off"
    finally:
        before.kill()
        before.wait()
    gate.open()
    after = machine(AFTER, str(last), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, trouble = after.communicate(timeout=120)
    assert said.splitlines() == ["SUCCEEDED", "True"], trouble
    assert gate.starts in starts
    end_home(kaptain_home)
    assert not pod_processes(kaptain_home)
