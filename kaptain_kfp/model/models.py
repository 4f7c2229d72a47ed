"""The facade: a machine learning model, and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn

from kaptain_kfp.hyperparameter.algorithms import Algorithm
from kaptain_kfp.hyperparameter.domains import Domain
from kaptain_kfp.logs import get_logger
from kaptain_kfp.platform import constants
from kaptain_kfp.runs.base import ScheduleHandle
from kaptain_kfp.runs.schedule import Schedule
from kaptain_kfp.specs import Action

from .actionplan import ActionPlan
from .actions import conclude, schedule, send, submit
from .content import Content
from .known import KnownModel
from .planning import plan_action
from .pods import PodOptions
from .publishing import publish_here, publish_options
from .requests import ActionRequest, check_room, request_build, request_of, request_train
from .resources import Resources
from .validation import require
from .world import World

__all__ = ["Model"]


class Model(KnownModel):
    """A machine learning model.

    Every action is a pipeline run; see `last_run`. What a model is and was lies in its records in
    the store, so it outlives notebooks and is the same for all of them.

    Args:
        id: Unique identifier, e.g. ``dev/mnist``. Letters, digits, ``.``, ``_``, ``-``; parts
            separated by slashes; at most 200 characters.
        name: Short name; workloads are named after it.
        description: What it is for.
        version: The model's own version.
        framework: Its framework, a `ModelFramework` or its name.
        framework_version: The framework's version.
        main_file: The training script, below `Config.base_dir`.
        image_name: Repository of the image, with a tag or without:
            then ``<id>-<framework>-<framework version>``.
        base_image: What the image is built on.
        extra_files: Further files and folders that the script needs.
        requirements: A pip requirements file.
        labels: Custom labels for deployment-related metadata.
        config: Where work runs and models lie; by default that of the world (see `Config`).
        serving_config: Configuration specific to model servers.

    Raises:
        InvalidModelProperty: A property is None (`UndefinedModelProperty`) or blank.
        ModelValidationException: A property can't be what it is.
        UnsupportedModelFrameworkException: There is no such framework.
        ConfigurationError: The default configuration can't be read.
    """

    def plan(self, action: str = "train", **arguments: Any) -> ActionPlan:
        """Returns what an action would do now; nothing is sent, made or recorded.

        It shows the pipeline, the objects and how they differ from those that are there, whether
        the image has to be built, the resources altogether, and what the cluster itself says to it.
        Print it; in a notebook it shows itself.

        Args:
            action: ``train`` or ``build``.
            **arguments: Those of the action's method, but `verbose`, `wait` and `dry_run`.

        Returns:
            The plan, with what keeps the action from going well as its `problems`.

        Raises:
            ModelValidationException: Something given can't be.
            ConfigurationError: There is no such world.
        """
        asked = request_of(action, arguments)
        return plan_action(self._world(), asked, Content.of(self._definition(), self.config))

    def build(
        self,
        verbose: bool | None = None,
        *,
        wait: bool = True,
        dry_run: bool = False,
        publish: bool = False,
        refresh_base: bool = False,
        platform: str | None = None,
        python_version: str | None = None,
        exclude: Sequence[str] | None = None,
    ) -> bool:
        """Builds the image with the model's training code and its requirements.

        An image of that name with that content is left as it is, and no run is made.

        Args:
            verbose: Show what the steps print; by default `envs.VERBOSE`.
            wait: False returns once the run is submitted; see `last_run`.
            dry_run: True only prints the `plan`, and returns True.
            publish: Build and push to the registry from here, whatever the target; no run is made.
            refresh_base: Look what the name of the base image stands for by now; by default it
                stays what it was when an image of that name was first built.
            platform: With `publish`: what the image runs on; by default what the image that is
                there under its name does, else ``linux/amd64``.
            python_version: With `publish`: the Python of a base image that doesn't tell it.
            exclude: With `publish`: packages that the base image has, and that aren't installed;
                ``[]`` for none. An image that is there is left as it is only where it was built
                with the same; by default whatever it was built with, and what is built leaves
                nothing out.

        Returns:
            True if successful, otherwise False.

        Raises:
            ModelValidationException: A file is missing or outside of the base folder.
            ImageBuildException: The image could not be built.
        """
        asked = request_build(refresh_base)
        here = publish_options(publish, wait and not dry_run, platform, python_version, exclude)
        content = Content.of(self._definition(), self.config)
        world = self._enter("build")
        if dry_run:
            return _printed(plan_action(world, asked, content))
        if here is not None:
            publish_here(
                *(content, self.config, self._records(), here),
                refresh_base=refresh_base,
                verbose=verbose,
            )
            return True
        image = content.image
        identity = content.definition.identity
        if not refresh_base and world.images.find(image.name, image.checksum, identity) is not None:
            get_logger().info("build: %s with the same contents is there already.", image.name)
            return True
        return self._run(world, asked, content, verbose, wait)

    def train(
        self,
        hyperparameters: dict[str, Any],
        args: dict[str, Any] | None = None,
        gpus: int | None = None,
        cpu: str | None = None,
        memory: str | None = None,
        resources: Resources | None = None,
        workers: int = 2,
        verbose: bool | None = None,
        ttl_seconds_after_finished: int | None = None,
        force_cleanup: bool | None = None,
        timeout: int | None = constants.DEFAULT_TIMEOUT_SECONDS,
        *,
        pod: PodOptions | None = None,
        wait: bool = True,
        dry_run: bool = False,
    ) -> bool:
        """Trains the model.

        Its image is built first where it isn't there. Resources are given either simply, as
        request and limit alike (`cpu`, `memory`, `gpus`), or in full (`resources`).

        Args:
            hyperparameters: Flags of the training script with their values, e.g. ``{"--lr": 0.1}``;
                text, numbers and booleans.
            args: Further flags that are no hyperparameters.
            gpus: GPUs of each worker.
            cpu: CPUs of each worker.
            memory: Memory of each worker, e.g. ``2G``.
            resources: Requests and limits in full.
            workers: Workers that train together, the chief included; others than TensorFlow and
                PyTorch models have one, whatever this says.
            verbose: Show what the script prints; by default `envs.VERBOSE`.
            ttl_seconds_after_finished: The finished workload is deleted after this many seconds;
                by default `envs.KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED`, or never.
            force_cleanup: Delete the finished workload at once; by default
                `envs.KAPTAIN_SDK_FORCE_CLEANUP`.
            timeout: Seconds after which the training is ended; default 7 days.
            pod: Labels, node selector, shared memory and the like of each worker's pod.
            wait: False returns once the run is submitted; see `last_run`.
            dry_run: True only prints the `plan`, and returns True.

        Returns:
            True if successful, otherwise False: then `last_run.error` says why.

        Raises:
            ModelValidationException: Something given can't be; nothing was sent.
            ImageBuildException: The image could not be built.
            WorkloadDeploymentError: The work could not be created or started.
        """
        asked = request_train(
            hyperparameters,
            args,
            gpus,
            cpu,
            memory,
            resources,
            workers,
            ttl_seconds_after_finished,
            force_cleanup,
            timeout,
            pod,
        )
        content = Content.of(self._definition(), self.config)
        world = self._enter("train")
        if dry_run:
            return _printed(plan_action(world, asked, content))
        return self._run(world, asked, content, verbose, wait)

    def tune(
        self,
        hyperparameters: dict[str, Domain],
        objectives: list[str],
        objective_goal: float | None = None,
        objective_type: str = "maximize",
        workers: int = 2,
        gpus: int | None = None,
        cpu: str | None = None,
        memory: str | None = None,
        resources: Resources | None = None,
        trials: int = 16,
        parallel_trials: int = 2,
        failed_trials: int = 4,
        algorithm: str | None = Algorithm.RANDOM.value,
        algorithm_setting: dict | None = None,  # type: ignore[type-arg]
        args: dict[str, Any] | None = None,
        verbose: bool | None = None,
        delete_experiment: bool | None = None,
        ttl_seconds_after_finished: int | None = None,
        timeout: int | None = constants.DEFAULT_TIMEOUT_SECONDS,
    ) -> bool:
        """Tunes the model with parallel trials; not in this version."""
        self._later("tune")

    def deploy(
        self,
        model_uri: str | None = None,
        autoscale: int = 2,
        gpus: int | None = None,
        cpu: str | None = None,
        memory: str | None = None,
        resources: Resources | None = None,
        replace: bool = False,
        **kwargs: str,
    ) -> bool:
        """Deploys the model; not in this version."""
        self._later("deploy")

    def deploy_canary(
        self, canary_traffic_percentage: int, model_uri: str | None = None, **kwargs: str
    ) -> None:
        """Deploys the model as a canary; not in this version."""
        self._later("deploy_canary")

    def rollback_canary(self) -> None:
        """Undeploys the canary; not in this version."""
        self._later("rollback_canary")

    def promote_canary(self) -> None:
        """Promotes the canary; not in this version."""
        self._later("promote_canary")

    def undeploy(self) -> None:
        """Removes the deployment and the canary; not in this version."""
        self._later("undeploy")

    def log_data(
        self,
        name: str,
        uri: str,
        description: str | None = None,
        features: list[str] | None = None,
        version: str | None = None,
    ) -> None:
        """Logs an input data set; not in this version."""
        self._later("log_data")

    def log_metrics(self, metrics: dict, metrics_type: str, uri: str | None = None) -> None:  # type: ignore[type-arg]
        """Logs evaluation metrics; not in this version."""
        self._later("log_metrics")

    def schedule(
        self,
        action: str = "train",
        *,
        cron: str | None = None,
        interval: int | timedelta | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        catch_up: bool = False,
        max_concurrency: int = 1,
        enabled: bool = True,
        name: str | None = None,
        **arguments: Any,
    ) -> ScheduleHandle:
        """Has an action done again and again, with the training code as it is now.

        On this machine it is done while the machine is on; see `Schedule.of` for the times.

        Args:
            action: ``train`` or ``build``.
            cron: ``minute hour day-of-month month day-of-week`` in UTC, e.g. ``0 3 * * *``; or six
                fields with the seconds first, or ``@daily`` and the like.
            interval: Seconds from one start to the next, or a timedelta; instead of `cron`.
            start: Nothing is started before it; with a time zone.
            end: Nothing is started after it; with a time zone.
            catch_up: Whether times that were missed are made up for.
            max_concurrency: Most runs of it at a time, 1 to 10; further ones wait.
            enabled: Whether it begins to start runs at once.
            name: What people see; by default the model, the action and the times. Unique among the
                model's schedules.
            **arguments: Those of the action's method, but `verbose`, `wait` and `dry_run`.

        Returns:
            The schedule, which can be disabled, enabled and deleted.

        Raises:
            ModelValidationException: Something given can't be; nothing was sent.
        """
        when = Schedule.of(
            cron=cron,
            interval=interval,
            start=start,
            end=end,
            catch_up=catch_up,
            max_concurrency=max_concurrency,
            enabled=enabled,
        )
        asked = request_of(action, arguments)
        title = f"{self.id} {action}, {when.text}" if name is None else require("name", name)
        content = Content.of(self._definition(), self.config)
        world = self._enter("schedule")
        check_room(asked, self.framework, world.gpus)
        return schedule(world, self._records(), asked, content, when, title)

    def schedules(self) -> list[ScheduleHandle]:
        """Returns the schedules of the model, the newest first."""
        return self._world().runner.schedules(self.id)

    def _later(self, method: str) -> NoReturn:
        raise NotImplementedError(f"Model.{method}() isn't part of this version of kaptain-kfp.")

    def _enter(self, action: Action | Literal["schedule"]) -> World:
        """Says in which world an action is going to happen."""
        world = self._world()
        get_logger().info(
            "%s %s: target %s (%s)", action, self.id, world.target.name, world.target.reason
        )
        return world

    def _run(
        self, world: World, asked: ActionRequest, content: Content, verbose: bool | None, wait: bool
    ) -> bool:
        check_room(asked, self.framework, world.gpus)
        model = send(world, content)
        records = self._records()
        self._last_run = submit(world, records, asked, content.definition, model)
        return conclude(self._last_run, records, asked.action, verbose) if wait else True


def _printed(plan: ActionPlan) -> bool:
    print(plan)
    return True
