from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.platform import constants
from kaptain_kfp.platform.serving.transformer import Transformer

VOLUME = {"name": "words", "type": constants.CONFIG_MAP_KIND, "path": "/etc/words"}
SOURCE = {"name": "keys", "type": constants.SECRET_KIND}


def test_everything() -> None:
    made = Transformer(image_name="me/t:1", args=["--top", "5"], volumes=[VOLUME], env_from=SOURCE)
    assert made.image_name == "me/t:1"
    assert made.args == ("--top", "5")
    assert made.volumes == (VOLUME,)
    assert made.env_from == SOURCE


def test_an_image_is_enough() -> None:
    made = Transformer("me/t")
    assert (made.args, made.volumes, made.env_from) == ((), (), None)
    assert made == Transformer(image_name="me/t")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"image_name": " "}, "image_name"),
        ({"image_name": None}, "image_name"),
        ({"args": "--top 5"}, "args"),
        ({"volumes": [{"name": "w", "type": "Secret"}]}, r"volumes\[0\]"),
        ({"volumes": [VOLUME, {**VOLUME, "type": "PVC"}]}, r"volumes\[1\]\.type"),
        ({"volumes": [{**VOLUME, "path": "etc"}]}, r"volumes\[0\]\.path"),
        ({"volumes": [{**VOLUME, "name": ""}]}, r"volumes\[0\]\.name"),
        ({"env_from": [SOURCE]}, "env_from"),
        ({"env_from": {**SOURCE, "key": "k"}}, "env_from"),
    ],
)
def test_what_can_not_be(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ModelValidationException, match=f"Transformer: {field} can't be"):
        Transformer(**{"image_name": "me/t", **given})
