from __future__ import annotations

from kaptain_kfp.runs.local_output import ReadableOutput, without_colour

RAW = """\
02:52:28.460 - INFO - Running pipeline: \x1b[95m'kaptain-train'\x1b[0m
--------------------------------------------------------------------------------
02:52:28.463 - INFO - Executing task \x1b[96m'train'\x1b[0m
02:52:28.463 - INFO - Streamed logs:

    [KFP Executor 2026-11-24 02:52:28,513 INFO]: Looking for component `train`
    [KFP Executor 2026-11-24 02:52:28,513 INFO]: Got executor_input:
    {
        "inputs": {
            "secretless": {}
        }
    }
    {"a script": "may print JSON"}
        indented by the script
    --------- a ruler of the script
    accuracy=0.93
    [KFP Executor 2026-11-24 02:52:28,669 INFO]: Wrote executor output file to /x.

02:52:28.694 - INFO - Task \x1b[96m'train'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m
02:52:28.695 - INFO - Task \x1b[96m'train'\x1b[0m outputs:
    Output: {'a': 'b'}
    metrics: Metrics( name='metrics',
                      uri='/x' )
--------------------------------------------------------------------------------
02:52:29.060 - INFO - Pipeline \x1b[95m'kaptain-train'\x1b[0m finished
Traceback (most recent call last):
"""

READABLE = """\
Executing task 'train'
{"a script": "may print JSON"}
    indented by the script
--------- a ruler of the script
accuracy=0.93
Task 'train' finished with status SUCCESS
Pipeline 'kaptain-train' finished
Traceback (most recent call last):
"""


def test_what_a_person_wants_to_read_is_left() -> None:
    readable = ReadableOutput()
    shown = [kept for line in RAW.splitlines() for kept in readable.lines(line)]
    assert shown == READABLE.splitlines()


def test_colours_go() -> None:
    assert without_colour("\x1b[91mFAILURE\x1b[0m.") == "FAILURE."
