"""Trains the digits model, on this machine or on Kubeflow, and says what came of it."""

from pathlib import Path

from kaptain_kfp import Config, Model, ModelFramework

HERE = Path(__file__).parent


def main(config: Config, base_image: str = "python:3.11") -> Model:
    model = Model(
        id="dev/digits",
        name="Digits",
        description="Recognises handwritten digits",
        version="1.0",
        framework=ModelFramework.SKLEARN,
        framework_version="1.5",
        main_file="trainer.py",
        image_name="kaptain/digits",
        base_image=base_image,
        config=config,
    )
    if not (model.build() and model.train({"--C": 10.0, "--gamma": 0.001}, workers=1)):
        raise SystemExit(1)

    run = model.last_run
    print()
    print(f"state            {model.state.value}")
    print(f"hyperparameters  {model.hyperparameters}")
    print(f"metrics          {model.metrics}")
    print(f"model            {model.model_uri}")
    print(f"run              {run.id}")
    print()
    print(f"See the run:     kaptain runs show {run.id}")
    print(f"Its log:         kaptain logs {run.id}")
    return model


if __name__ == "__main__":
    main(Config.local(base_dir=str(HERE)))
