from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from kaptain_kfp.image.progress import screen

DIGEST = f"sha256:{'ab' * 32}"
MIB = 1 << 20

SENDING = f"""
from kaptain_kfp.image.progress import screen
with screen() as shown:
    shown.log("a step [with brackets]")
    shown.progress({DIGEST!r}, {MIB}, {4 * MIB})
    shown.progress({DIGEST!r}, {4 * MIB}, {4 * MIB})
    shown.progress("sha256:cd", {MIB}, {MIB})
"""


def test_a_big_blob_is_told_of_in_quarters(capsys: pytest.CaptureFixture[str]) -> None:
    with screen() as shown:
        for sent in range(0, 4 * MIB + 1, MIB // 2):
            shown.progress(DIGEST, sent, 4 * MIB)
        shown.progress("sha256:cd", 10, 10)
    assert capsys.readouterr().err.splitlines() == [
        f"sha256:abababababab: {done:,} of 4,194,304 bytes are sent."
        for done in (MIB, 2 * MIB, 3 * MIB, 4 * MIB)
    ]


def test_lines_of_the_log_are_shown_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    for asked in (True, False):
        with screen(lines=asked) as shown:
            shown.log("a step [with brackets]")
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "a step [with brackets]\n")


def test_a_terminal_gets_a_bar_of_all_bytes() -> None:
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen([sys.executable, "-c", SENDING], stderr=side, env=environment)
    os.close(side)
    said = b""
    try:
        while chunk := os.read(main, 4096):
            said += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(main)
    assert process.wait(60) == 0
    text = said.decode()
    assert "a step [with brackets]" in text
    assert "5.2/5.2 MB" in text
    assert "bytes are sent" not in text
