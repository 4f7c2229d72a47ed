"""The components in pipelines of one's own, executed on this machine."""

# No postponed annotations here: kfp reads the types of a pipeline's parameters as they are.
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, components, dsl

from kaptain_kfp.cluster.local import LocalCluster
from kaptain_kfp.exceptions import RunFailedError, ScriptFailedError
from kaptain_kfp.model.content import Content
from kaptain_kfp.model.world import World, world_of
from kaptain_kfp.runs.base import RunHandle, RunRequest, RunState

from .conftest import MakeModel

ROOT = Path(__file__).parents[2]


def published(name: str) -> Any:
    return components.load_component_from_file(str(ROOT / "components" / name / "component.yaml"))


def compiled(pipeline: Any) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        compiler.Compiler().compile(pipeline, file.name)
        loaded: dict[str, Any] = yaml.safe_load(Path(file.name).read_text())
    return loaded


WHO = {
    "run_id": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    "dag_id": dsl.PIPELINE_TASK_ID_PLACEHOLDER,
    "task_name": dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
}


class Submit:
    def __init__(self, make_model: MakeModel) -> None:
        model = make_model("import sys; print('got', sys.argv[1:]); print('m=1.0')")
        self.world: World = world_of(model.config)
        content = Content.of(model._definition(), model.config)
        self.model = content.send(self.world.store, self.world.store_spec).dump()

    def __call__(self, pipeline: Any, **parameters: Any) -> RunHandle:
        request = RunRequest(
            pipeline=compiled(pipeline),
            parameters={"model": self.model, **parameters},
            experiment="dev/digits",
            name="own pipeline",
        )
        return self.world.runner.submit(request)

    def jobs(self) -> list[str]:
        cluster = self.world.cluster
        assert isinstance(cluster, LocalCluster)
        return sorted(
            str(job["spec"]["template"]["spec"]["containers"][0]["args"])
            for job in cluster.list("Job")
        )


@pytest.fixture
def submit(make_model: MakeModel) -> Submit:
    return Submit(make_model)


@pytest.mark.fault("two tasks of one component")
def test_two_tasks_of_one_component_are_two_jobs(submit: Submit) -> None:
    build, train = published("build-image"), published("train")

    @dsl.pipeline(name="twice")
    def twice(model: dict) -> None:  # type: ignore[type-arg]
        image = build(model=model, **WHO).output
        first = train(model=model, image=image, hyperparameters={"--n": "1"}, **WHO)
        train(model=model, image=image, hyperparameters={"--n": "2"}, **WHO).after(first)

    run = submit(twice)
    assert run.wait(60) is RunState.SUCCEEDED
    assert submit.jobs() == ["['--n=1']", "['--n=2']"]
    revisions = {
        run.outputs[task]["trained_model"]["metadata"]["revision"] for task in ("train", "train-2")
    }
    assert len(revisions) == 2


@pytest.mark.fault("one component in a loop")
def test_every_iteration_of_a_loop_is_its_own_job(submit: Submit) -> None:
    build, train = published("build-image"), published("train")

    @dsl.pipeline(name="loop")
    def loop(model: dict) -> None:  # type: ignore[type-arg]
        with dsl.ParallelFor(items=["a", "a", "b"]) as item:
            # `kfp.local` gives a loop's body its item in place of every output from outside.
            image = build(model=model, **WHO).output
            train(model=model, image=image, hyperparameters={"--n": item}, **WHO)

    run = submit(loop)
    assert run.wait(90) is RunState.SUCCEEDED
    assert submit.jobs() == ["['--n=a']", "['--n=a']", "['--n=b']"]
    assert len([task for task in run.outputs if task.endswith("train")]) == 3


def test_numbers_typed_into_a_form_arrive_as_such(submit: Submit) -> None:
    """The run form of the user interface sends JSON; a pipeline turns its integers into floats."""
    build, train = published("build-image"), published("train")

    @dsl.pipeline(name="form")
    def form(model: dict, hyperparameters: dict) -> None:  # type: ignore[type-arg]
        image = build(model=model, **WHO).output
        train(model=model, image=image, hyperparameters=hyperparameters, **WHO)

    run = submit(form, hyperparameters={"--epochs": 3, "--lr": 0.5, "--name": "x"})
    assert run.wait(60) is RunState.SUCCEEDED
    (args,) = submit.jobs()
    assert sorted(json.loads(args.replace("'", '"'))) == ["--epochs=3", "--lr=0.5", "--name=x"]


def test_a_pipeline_that_fails_outside_of_our_steps(submit: Submit) -> None:
    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def explode() -> None:
        raise ValueError("on my own")

    @dsl.pipeline(name="explodes-here")
    def explodes(model: dict) -> None:  # type: ignore[type-arg]
        explode()

    run = submit(explodes)
    with pytest.raises(RunFailedError, match="a step of its pipeline failed") as caught:
        run.wait(60)
    assert "ValueError: on my own" in (caught.value.log_tail or "")
    assert run.state is RunState.FAILED


def test_the_error_is_that_of_the_step_that_failed(submit: Submit) -> None:
    build, train = published("build-image"), published("train")

    @dsl.pipeline(name="fails")
    def fails(model: dict) -> None:  # type: ignore[type-arg]
        image = build(model=model, **WHO).output
        train(model=model, image=image, hyperparameters={"no-dash": "1"}, **WHO)

    run = submit(fails)
    with pytest.raises(Exception, match="no-dash") as caught:
        run.wait(60)
    assert type(caught.value).__name__ == "ModelValidationException"
    assert not isinstance(caught.value, ScriptFailedError)
    assert submit.jobs() == []
