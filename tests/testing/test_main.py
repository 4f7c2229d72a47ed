"""The faces by hand: ``python -m kaptain_kfp.testing``."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from kaptain_kfp.testing.homes import pod_processes, supervisor_pid

PATIENCE = 60.0


class Serving(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int
    kubeconfig: Path
    pipelines: str

    def ask(self, path: str, method: str = "GET", body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with closing(connection):
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read().decode()


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[Serving]:
    """Runs it; what it says goes to a file in a folder."""
    log = folder / "said"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "kaptain_kfp.testing", *words], stdout=file, stderr=file
        )
    with process:
        try:
            deadline = time.monotonic() + PATIENCE
            while "faults:" not in (said := log.read_text()):
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.02)
            port = re.search(r"^Kubernetes: http://127\.0\.0\.1:(\d+)$", said, re.MULTILINE)
            found = re.search(r"^KUBECONFIG=(.+)$", said, re.MULTILINE)
            pipelines = re.search(r"^KF_PIPELINES_ENDPOINT=(http://.+)$", said, re.MULTILINE)
            assert port is not None and found is not None and pipelines is not None, said
            yield Serving(process, int(port[1]), Path(found[1]), pipelines[1])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_a_world_of_its_own_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    container = {"name": "c", "image": "kaptain.local/host", "command": ["sleep", "1000"]}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [container]}}
    with serving(tmp_path) as served:
        home = served.kubeconfig.parent
        config = json.loads(served.kubeconfig.read_text())
        url = config["clusters"][0]["cluster"]["server"]
        assert url == f"http://127.0.0.1:{served.port}"
        assert served.ask("/readyz") == (200, "ok")
        with urllib.request.urlopen(f"{served.pipelines}/apis/v2beta1/healthz") as answer:
            assert json.load(answer)["multi_user"] is False
        status, _ = served.ask("/api/v1/namespaces/default/pods", "POST", json.dumps(pod))
        assert status == 201
        deadline = time.monotonic() + PATIENCE
        while not pod_processes(home):
            assert time.monotonic() < deadline, "never: the pod runs"
            time.sleep(0.02)
        served.process.send_signal(number)
        assert served.process.wait(PATIENCE) == 0
    assert not pod_processes(home)
    assert supervisor_pid(home) is None
    assert not home.exists()


def test_faults_by_hand_in_a_home_that_stays(kaptain_home: Path, tmp_path: Path) -> None:
    words = ("--home", str(kaptain_home), "--kubelet", "off", "--operators", "off")
    with serving(tmp_path, *words) as served:
        assert served.kubeconfig.parent == kaptain_home
        served.ask("/-/faults", "POST", json.dumps({"do": "answer", "status": 503}))
        assert [served.ask("/version")[0] for _ in range(2)] == [503, 200]
        served.process.terminate()
        assert served.process.wait(PATIENCE) == 0
    assert kaptain_home.exists()
    assert not served.kubeconfig.exists()


def test_says_what_it_cannot_use(tmp_path: Path, kaptain_home: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kaptain_kfp.testing", "--home", str(kaptain_home)),
            *("--crds", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "There is no CustomResourceDefinition in" in done.stderr
    assert "Traceback" not in done.stderr
