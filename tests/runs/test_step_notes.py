from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kaptain_kfp.runs.step_notes import StepNote, dag_id, note_of, notes, write_note

Names = st.text("abc-", min_size=1, max_size=5)
Paths = st.lists(Names, min_size=1, max_size=3).map(".".join)


def test_a_note_is_written_over_and_found_again(tmp_path: Path) -> None:
    first = StepNote("inner.a", "loop-iteration-0", 2.0)
    other = StepNote("inner.a", "loop-iteration-1", 1.0)
    for note in (first, other):
        write_note(tmp_path, note)
    assert note_of(tmp_path, "inner.a", "loop-iteration-0") == first
    assert note_of(tmp_path, "inner.a", "") is None
    assert list(notes(tmp_path)) == [other, first]
    ended = replace(first, ended=3.0, state="FAILED", message="Error (exit code 1)")
    write_note(tmp_path, ended)
    assert list(notes(tmp_path)) == [other, ended]


def test_a_run_without_steps_has_no_notes(tmp_path: Path) -> None:
    assert list(notes(tmp_path)) == []


@given(run=Names, dag=Paths, tasks=st.tuples(Names, Names), other=Paths, iteration=Names)
def test_tasks_of_one_dag_share_its_id(
    run: str, dag: str, tasks: tuple[str, str], other: str, iteration: str
) -> None:
    one, two = (dag_id(run, f"{dag}.{task}", "") for task in tasks)
    assert one == two
    assert int(one) > 0
    assert (dag_id(run, f"{other}.{tasks[0]}", "") == one) is (other == dag)
    assert dag_id(run, f"{dag}.{tasks[0]}", iteration) != one
    assert dag_id(f"{run}+", f"{dag}.{tasks[0]}", "") != one
