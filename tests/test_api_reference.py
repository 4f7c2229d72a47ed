"""The public API is that of the reference: names, order, kinds, defaults and types.

Whatever we add must be keyword-only, and may accept more than the reference does.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .needs import need_shared

PACKAGE = "kaptain_kfp"

CLASSES = """
config.Config()
exceptions.InvalidModelProperty(Exception)
exceptions.UndefinedModelProperty(Exception)
exceptions.UnsupportedAlgorithmException(Exception)
exceptions.UnsupportedModelDeploymentException(Exception)
exceptions.UnsupportedMetricsTypeException(Exception)
exceptions.ModelDeploymentException(Exception)
exceptions.ModelValidationException(Exception)
exceptions.ImageBuildException(Exception)
exceptions.WorkloadDeploymentError(Exception)
model.models.Model()
hyperparameter.algorithms.Algorithm(Enum)
hyperparameter.domains.Double(Domain)
hyperparameter.domains.Integer(Domain)
hyperparameter.domains.Discrete(Domain)
hyperparameter.domains.Categorical(Domain)
platform.config.provider.ConfigurationProvider(ABC)
platform.config.provider.FileBasedConfigurationProvider(ConfigurationProvider)
platform.config.provider.EnvironmentVariableConfigurationProvider(ConfigurationProvider)
platform.config.certificates.DockerRegistryCertificateProvider(FileBasedConfigurationProvider)
platform.config.docker.DockerConfigurationProvider(FileBasedConfigurationProvider)
platform.config.s3.S3ConfigurationProvider(
    FileBasedConfigurationProvider, EnvironmentVariableConfigurationProvider)
"""

# one a paragraph, as the reference writes them; the module and the class stand before the name
CALLABLES = """
config.Config.__init__(docker_config_provider: ConfigurationProvider,
    storage_config_provider: ConfigurationProvider, docker_registry_url: Optional[str] = None,
    docker_registry_certificate_provider: Optional[ConfigurationProvider] = None,
    base_dir: str = os.getcwd(), base_model_storage_uri: str = "s3://kaptain/models")

utils.diagnose() -> None

utils.list_jobs() -> None

utils.delete_job(name: str, kind: Optional[str] = None) -> None

utils.list_experiments() -> None

utils.delete_experiment(name: str) -> None

utils.list_inference_services() -> None

utils.delete_inference_service(name: str) -> None

utils.delete_jobs(force: bool = False) -> None

utils.delete_experiments(force: bool = False) -> None

utils.delete_inference_services(force: bool = False) -> None

utils.clean(force: bool = False) -> None

utils.clean_all(force: bool = False) -> None

utils.list_all_resources() -> None

utils.delete_resource(kind: str, name: str) -> None

model.models.Model.__init__(id: str, name: str, description: str, version: str,
    framework: ModelFramework, framework_version: str, main_file: str, image_name: str,
    base_image: str, extra_files: Optional[List[str]] = None, requirements: Optional[str] = None,
    labels: Optional[List[str]] = None, config: Optional[Config] = None,
    serving_config: Optional[Dict[str, str]] = None)

model.models.Model.hyperparameters() -> Optional[Dict[str, Any]]

model.models.Model.build(verbose: Optional[bool] = None) -> bool

model.models.Model.train(hyperparameters: Dict[str, Any], args: Optional[Dict[str, Any]] = None,
    gpus: Optional[int] = None, cpu: Optional[str] = None, memory: Optional[str] = None,
    resources: Optional[Resources] = None, workers: int = 2, verbose: Optional[bool] = None,
    ttl_seconds_after_finished: Optional[int] = None, force_cleanup: Optional[bool] = None,
    timeout: Optional[int] = constants.DEFAULT_TIMEOUT_SECONDS) -> bool

model.models.Model.tune(hyperparameters: Dict[str, Domain], objectives: List[str],
    objective_goal: Optional[float] = None, objective_type: str = "maximize", workers: int = 2,
    gpus: Optional[int] = None, cpu: Optional[str] = None, memory: Optional[str] = None,
    resources: Optional[Resources] = None, trials: int = 16, parallel_trials: int = 2,
    failed_trials: int = 4, algorithm: Optional[str] = Algorithm.RANDOM.value,
    algorithm_setting: Optional[dict] = None, args: Optional[Dict[str, Any]] = None,
    verbose: Optional[bool] = None, delete_experiment: Optional[bool] = None,
    ttl_seconds_after_finished: Optional[int] = None,
    timeout: Optional[int] = constants.DEFAULT_TIMEOUT_SECONDS) -> bool

model.models.Model.deploy(model_uri: Optional[str] = None, autoscale: int = 2,
    gpus: Optional[int] = None, cpu: Optional[str] = None, memory: Optional[str] = None,
    resources: Optional[Resources] = None, replace: bool = False, **kwargs: str) -> bool

model.models.Model.deploy_canary(canary_traffic_percentage: int, model_uri: Optional[str] = None,
    **kwargs: str) -> None

model.models.Model.rollback_canary() -> None

model.models.Model.promote_canary() -> None

model.models.Model.undeploy() -> None

model.models.Model.log_data(name: str, uri: str, description: Optional[str] = None,
    features: Optional[List[str]] = None, version: Optional[str] = None) -> None

model.models.Model.log_metrics(metrics: dict, metrics_type: str, uri: Optional[str] = None) -> None

model.models.Model.meta() -> ModelMeta

hyperparameter.algorithms.Algorithm.of(algorithm: Optional[str]) -> Optional["Algorithm"]

hyperparameter.domains.Double.__init__(min: float, max: float)

hyperparameter.domains.Integer.__init__(min: int, max: int)

platform.config.certificates.DockerRegistryCertificateProvider.__init__(certificate_body: str,
    certificate_path: Optional[str] = None)

platform.config.docker.DockerConfigurationProvider.__init__(config_json: str)

platform.config.s3.S3ConfigurationProvider.__init__(aws_access_key_id: str,
    aws_secret_access_key: str, aws_session_token: Optional[str] = None,
    region_name: str = _DEFAULT_REGION, s3_endpoint: Optional[str] = None,
    s3_signature_version: Optional[str] = None, s3_force_path_style: bool = False)

platform.config.s3.S3ConfigurationProvider.get_secret_body() -> Dict[str, str]
"""

# the reference has no signature for these two, but documents their only argument
UNSIGNED = """
hyperparameter.domains.Discrete.__init__(values: List[float])

hyperparameter.domains.Categorical.__init__(values: List[str])
"""

ENVS: dict[str, type | None] = {
    "VERBOSE": bool,
    "DEBUG": bool,
    "LOG_TIMEFORMAT": str,
    "DOCKER_BUILDER_CPU_LIMIT": str,
    "DOCKER_BUILDER_MEM_LIMIT": str,
    "DOCKER_BUILDER_CPU_REQUEST": str,
    "DOCKER_BUILDER_MEM_REQUEST": str,
    "KAPTAIN_SDK_DELETE_EXPERIMENT": bool,
    "KAPTAIN_SDK_TTL_SECONDS_AFTER_FINISHED": int,
    "KAPTAIN_SDK_FORCE_CLEANUP": bool,
}
"""The settings of `envs`; the type is what reading gives (or None) and assigning takes."""

PROPERTIES = ("model.models.Model.hyperparameters",)
STATIC = ("hyperparameter.algorithms.Algorithm.of",)

# what may stand in our signature where the reference has the key
WIDER = {
    "dict": {"Mapping", "MutableMapping"},
    "list": {"Sequence", "Iterable", "Collection"},
    "int": {"float"},
}


@dataclass(frozen=True)
class Entry:
    """A line of the tables: where it lies, and everything between and after the brackets."""

    path: str
    signature: str

    @property
    def module(self) -> str:
        """The module, relative to the package: all parts before the class or function."""
        parts = self.path.split(".")
        first_class = next((i for i, part in enumerate(parts) if part[0].isupper()), -1)
        return ".".join(parts[:first_class])

    @property
    def attributes(self) -> list[str]:
        """The names below the module."""
        return self.path.removeprefix(f"{self.module}.").split(".")


def entries(table: str) -> list[Entry]:
    """Returns the lines of a table."""
    found = re.findall(r"^([\w.]+)(\((?:.|\n(?!\w|\n))*)", table, flags=re.MULTILINE)
    return [Entry(path, " ".join(text.split()).replace("( ", "(")) for path, text in found]


class Names(dict[str, Any]):
    """Evaluates annotations; a name that can't be found stands for a class of that name."""

    def __missing__(self, key: str) -> Any:
        return getattr(builtins, key, None) or type(key, (), {})


def alternatives(annotation: Any, names: Names) -> frozenset[tuple[str, tuple[Any, ...]]]:
    """Returns the types that an annotation allows, each with its arguments, spelled one way."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return alternatives(eval(annotation, {}, names), names)
    if annotation is None or annotation is type(None):
        return frozenset({("None", ())})
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return frozenset().union(*(alternatives(argument, names) for argument in arguments))
    if origin is typing.Literal:
        return frozenset((type(value).__name__, ()) for value in arguments)
    name = getattr(origin or annotation, "__name__", None) or str(annotation)
    return frozenset({(name, tuple(alternatives(argument, names) for argument in arguments))})


def accepts(ours: frozenset[Any], reference: frozenset[Any]) -> bool:
    """Returns True if all that the reference accepts is accepted by us."""
    return all(any(_covers(mine, theirs) for mine in ours) for theirs in reference)


def _covers(ours: tuple[str, tuple[Any, ...]], theirs: tuple[str, tuple[Any, ...]]) -> bool:
    if ours[0] in ("Any", "object"):
        return True
    fits = ours[0] == theirs[0] or ours[0] in WIDER.get(theirs[0], ())
    return fits and all(map(accepts, ours[1], theirs[1]))


def find(entry: Entry) -> tuple[Any, Any]:
    """Returns what we have under that name, unbound, and its module."""
    module = importlib.import_module(f"{PACKAGE}.{entry.module}")
    found: Any = module
    for attribute in entry.attributes:
        found = inspect.getattr_static(found, attribute)
    return found, module


def _function(entry: Entry) -> tuple[Any, Any]:
    found, module = find(entry)
    if entry.path in PROPERTIES:
        assert isinstance(found, property), f"{entry.path} must be a property"
        return found.fget, module
    assert isinstance(found, staticmethod) is (entry.path in STATIC)
    return (found.__func__ if isinstance(found, staticmethod) else found), module


def _reference(entry: Entry) -> ast.arguments:
    signature = entry.signature.split(" -> ")[0]
    if entry.path not in STATIC and len(entry.attributes) > 1:
        signature = signature.replace("(", "(self, ", 1)
    function = ast.parse(f"def f{signature}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.args


def _defaults(arguments: ast.arguments) -> dict[str, str]:
    names = [argument.arg for argument in arguments.args]
    optional = names[len(names) - len(arguments.defaults) :]
    return dict(zip(optional, map(ast.unparse, arguments.defaults), strict=True))


def _same_default(text: str, value: Any) -> bool:
    if text == "os.getcwd()":
        # where the process stood when the module was first imported
        return isinstance(value, str) and Path(value).is_absolute()
    constants = importlib.import_module(f"{PACKAGE}.platform.constants")
    s3 = importlib.import_module(f"{PACKAGE}.platform.config.s3")
    algorithms = importlib.import_module(f"{PACKAGE}.hyperparameter.algorithms")
    scope = {"constants": constants, **vars(s3), **vars(algorithms)}
    expected = eval(text, scope)
    return type(value) is type(expected) and bool(value == expected)


ALL = entries(CALLABLES) + entries(UNSIGNED)


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.path)
def test_parameters(entry: Entry) -> None:
    function, _ = _function(entry)
    ours = list(inspect.signature(function).parameters.values())
    reference = _reference(entry)
    names = [argument.arg for argument in reference.args]
    first, others = ours[: len(names)], ours[len(names) :]
    assert [parameter.name for parameter in first] == names
    assert {parameter.kind for parameter in first} <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if reference.kwarg:
        assert others[-1:] != []
        last = others.pop()
        assert (last.name, last.kind) == (reference.kwarg.arg, inspect.Parameter.VAR_KEYWORD)
    assert [other.name for other in others if other.kind is not other.KEYWORD_ONLY] == []
    assert [other.name for other in others if other.default is other.empty] == []


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.path)
def test_defaults(entry: Entry) -> None:
    function, _ = _function(entry)
    reference = _reference(entry)
    expected = _defaults(reference)
    ours = inspect.signature(function).parameters
    for argument in reference.args:
        value = ours[argument.arg].default
        if argument.arg in expected:
            assert _same_default(expected[argument.arg], value), f"{argument.arg}={value!r}"
        else:
            assert value is inspect.Parameter.empty, f"{argument.arg} has a default"


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.path)
def test_types(entry: Entry) -> None:
    function, module = _function(entry)
    names = Names(vars(typing) | vars(module))
    ours = inspect.signature(function)
    for argument in _reference(entry).args:
        if argument.annotation is None:
            continue
        mine = alternatives(ours.parameters[argument.arg].annotation, names)
        theirs = alternatives(ast.unparse(argument.annotation), names)
        assert accepts(mine, theirs), f"{argument.arg}: {ours.parameters[argument.arg]}"
    result = entry.signature.split(" -> ")[1] if " -> " in entry.signature else "None"
    assert alternatives(ours.return_annotation, names) == alternatives(result, names)


@pytest.mark.parametrize("entry", entries(CLASSES), ids=lambda entry: entry.path)
def test_classes(entry: Entry) -> None:
    found, _ = find(entry)
    assert inspect.isclass(found)
    ancestors = {ancestor.__name__ for ancestor in inspect.getmro(found)}
    bases = {base.strip() for base in entry.signature.strip("()").split(",")} - {""}
    assert bases <= ancestors


@pytest.mark.parametrize("name", ENVS)
def test_envs(name: str) -> None:
    envs = importlib.import_module(f"{PACKAGE}.envs")
    assert type(envs).__name__ == "_M"
    assert isinstance(envs, types.ModuleType)
    found = inspect.getattr_static(type(envs), name)
    assert isinstance(found, property)
    assert found.fget is not None
    assert found.fset is not None
    value = getattr(envs, name)
    assert value is None or type(value) is ENVS[name]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("str | None", "Optional[str]", True),
        ("Optional[str]", "str", True),
        ("str", "Optional[str]", False),
        ("str | int | float | None", "Optional[str]", True),
        ("float", "int", True),
        ("int", "float", False),
        ("Mapping[str, Any]", "Dict[str, Any]", True),
        ("dict[str, str]", "Dict[str, Any]", False),
        ("list[str]", "List[str]", True),
        ("Sequence[float | str]", "List[float]", True),
        ("Unknown", "Unknown", True),
        ("Unknown", "Other", False),
    ],
)
def test_types_are_compared_loosely(ours: str, theirs: str, expected: bool) -> None:
    names = Names(vars(typing))
    assert accepts(alternatives(ours, names), alternatives(theirs, names)) is expected


def test_the_tables_are_the_reference() -> None:
    text = need_shared("reference", "kaptain-sdk-api.txt").read_text(encoding="utf-8")
    written = re.findall(r"^(?:\| )?(\w+)(\(.*\)(?: -> .+)?)$", text, flags=re.MULTILINE)
    expected = {
        f"{name}{signature}".replace(", ,)", ")")
        for name, signature in written
        if name not in ENVS and (" -> " in signature or name == "__init__")
    }
    ours = {f"{entry.attributes[-1]}{entry.signature}" for entry in entries(CALLABLES)}
    assert ours == expected
    classes = re.findall(r"^class (\w+)(\(.*\))$", text, flags=re.MULTILINE)
    assert {f"{entry.attributes[-1]}{entry.signature}" for entry in entries(CLASSES)} == {
        f"{name}{bases}" for name, bases in classes if name != "_M"
    }
    properties = re.findall(r"^\| (?:@\w+\.setter\n\| )?([A-Z_0-9]+)\(", text, flags=re.MULTILINE)
    assert set(properties) == set(ENVS)
