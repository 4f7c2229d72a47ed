from __future__ import annotations

import pytest

from kaptain_kfp.components.arguments import as_text
from kaptain_kfp.exceptions import ModelValidationException


def test_text_stays_and_whole_floats_are_integers() -> None:
    given = {"--a": "0.10", "--b": 3.0, "--c": 0.5, "--d": "3.0", "--e": True, "--f": -2.0}
    assert as_text("hyperparameters", given) == {
        "--a": "0.10",
        "--b": "3",
        "--c": "0.5",
        "--d": "3.0",
        "--e": "True",
        "--f": "-2",
    }


@pytest.mark.parametrize("given", [{"x y": "1"}, {"--a": None}, {"--a": [1]}])
def test_what_no_command_line_can_hold(given: dict[str, object]) -> None:
    with pytest.raises(ModelValidationException):
        as_text("hyperparameters", given)
