from __future__ import annotations

import json

import pytest
from kfp import components

from kaptain_kfp.compiler import packaged
from kaptain_kfp.compiler.export import generated

FILES = generated()


@pytest.mark.parametrize("name", ["kaptain-build", "kaptain-train"])
def test_a_packaged_pipeline_is_the_one_that_is_published(name: str) -> None:
    spec = packaged.pipeline(name)
    assert spec["pipelineInfo"]["name"] == name
    assert FILES[f"kaptain_kfp/compiler/compiled/{name}.json"] == json.dumps(spec, indent=1) + "\n"
    assert components.load_component_from_text(FILES[f"pipelines/{name}.yaml"]).name == name


def test_two_compilations_are_the_same() -> None:
    assert generated() == FILES


def test_no_component_of_ours_is_cached() -> None:
    for name in ("kaptain-build", "kaptain-train"):
        for task in packaged.pipeline(name)["root"]["dag"]["tasks"].values():
            assert task["cachingOptions"] == {}


def test_parameters_are_described_for_the_run_form() -> None:
    for name in ("kaptain-build", "kaptain-train"):
        parameters = packaged.pipeline(name)["root"]["inputDefinitions"]["parameters"]
        assert all(parameter["description"] for parameter in parameters.values()), name


@pytest.mark.parametrize("name", ["build-image", "train"])
def test_a_published_component_needs_nothing_of_ours_to_be_loaded(name: str) -> None:
    text = FILES[f"components/{name}/component.yaml"]
    component = components.load_component_from_text(text)
    assert component.component_spec.description
    assert "pip install" not in text
