"""What each replica of a workload asks for and is limited to."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from kaptain_kfp import quantities
from kaptain_kfp.exceptions import ModelValidationException
from kaptain_kfp.quantities import Quantity
from kaptain_kfp.specs import ResourcesSpec

__all__ = ["Resources"]


@dataclass(frozen=True, init=False)
class Resources:
    """Requests and limits of each replica, held as the text of Kubernetes quantities.

    Args:
        cpu_request: CPUs set aside, e.g. ``1``, ``0.5`` or ``"500m"``.
        cpu_limit: CPUs at most.
        memory_request: Memory set aside, in bytes or with a suffix: ``"2G"``, ``"512Mi"``.
        memory_limit: Memory at most; a container that takes more is killed.
        gpu_request: GPUs set aside, a whole number.
        gpu_limit: The same number: GPUs can't be overcommitted.

    Raises:
        ModelValidationException: A value is no quantity, GPUs are no whole number, a request is
            more than its limit, or GPUs have a request other than their limit.
    """

    cpu_request: str | None
    cpu_limit: str | None
    memory_request: str | None
    memory_limit: str | None
    gpu_request: str | None
    gpu_limit: str | None

    def __init__(
        self,
        cpu_request: Quantity | None = None,
        cpu_limit: Quantity | None = None,
        memory_request: Quantity | None = None,
        memory_limit: Quantity | None = None,
        gpu_request: Quantity | None = None,
        gpu_limit: Quantity | None = None,
    ) -> None:
        texts = {
            "cpu_request": _cpu("cpu_request", cpu_request),
            "cpu_limit": _cpu("cpu_limit", cpu_limit),
            "memory_request": _memory("memory_request", memory_request),
            "memory_limit": _memory("memory_limit", memory_limit),
            "gpu_request": _gpu("gpu_request", gpu_request),
            "gpu_limit": _gpu("gpu_limit", gpu_limit),
        }
        for name, text in texts.items():
            object.__setattr__(self, name, text)
        _check_pair("cpu", self.cpu_request, self.cpu_limit)
        _check_pair("memory", self.memory_request, self.memory_limit)
        if None not in (self.gpu_request, self.gpu_limit) and self.gpu_request != self.gpu_limit:
            raise ModelValidationException(
                f"gpu_request={self.gpu_request!r} differs from gpu_limit={self.gpu_limit!r}.",
                hint="GPUs can't be overcommitted: give both the same number, or only one of them.",
            )

    @classmethod
    def simple(
        cls,
        cpu: Quantity | None = None,
        memory: Quantity | None = None,
        gpus: Quantity | None = None,
    ) -> Resources:
        """Returns resources whose requests and limits are the same.

        Args:
            cpu: CPUs; not set by default.
            memory: Memory in bytes or with a suffix; not set by default.
            gpus: GPUs, a whole number; not set by default.

        Raises:
            ModelValidationException: A value can't be used.
        """
        cpu, memory, gpus = _cpu("cpu", cpu), _memory("memory", memory), _gpu("gpus", gpus)
        return cls(cpu, cpu, memory, memory, gpus, gpus)

    def to_spec(self) -> ResourcesSpec:
        """Returns the contract of the pipeline; the limit of GPUs is set where only they ask."""
        values = asdict(self)
        # Kubernetes refuses a request for GPUs without a limit
        values["gpu_limit"] = self.gpu_limit or self.gpu_request
        return ResourcesSpec(**values)


def _cpu(name: str, value: Quantity | None) -> str | None:
    return None if value is None else quantities.normalise(value, field=name)


def _memory(name: str, value: Quantity | None) -> str | None:
    if value is None:
        return None
    text = quantities.normalise(value, field=name)
    if text[-1] in "mun":
        # legal, but nobody means thousandths of a byte: it would end as a killed container
        number = text[:-1]
        raise ModelValidationException(
            f"{name}={value!r} is a fraction of a byte.",
            hint=f"Write {number}M (powers of 1000) or {number}Mi (powers of 1024).",
        )
    return text


def _gpu(name: str, value: Quantity | None) -> str | None:
    if value is None:
        return None
    amount = quantities.parse(value, field=name)
    if amount != amount.to_integral_value():
        raise ModelValidationException(
            f"{name}={value!r} is not a whole number.", hint="Give whole GPUs: 0, 1, 2, ..."
        )
    return str(int(amount))


def _check_pair(word: str, request: str | None, limit: str | None) -> None:
    if request is None or limit is None:
        return
    if quantities.parse(request) > quantities.parse(limit):
        raise ModelValidationException(
            f"{word}_request={request!r} is more than {word}_limit={limit!r}.",
            hint="Lower the request or raise the limit.",
        )
