"""Records metrics: what a training script calls once, or once per epoch.

Standard library only, boto3 only for ``s3://``: this module goes into training images.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

from kaptain_kfp.platform._job import LOG, is_chief, upload_path
from kaptain_kfp.platform._upload import target_of
from kaptain_kfp.platform.metrics import SUFFIX, record_line

__all__ = ["MetadataUtil"]

_UNPRINTABLE = re.compile(r"[^\w|-]", re.ASCII)
_renamed: set[str] = set()


class MetadataUtil:
    """Records metrics of a training."""

    @staticmethod
    def record_metrics(metrics: Mapping[str, Any]) -> None:
        """Records metrics; of several replicas only the first one does.

        They are also printed, as Katib reads them: a line ``name=value`` each. Not-a-number and
        infinite values are recorded but not printed, since Katib would take them for the best ones.
        What Katib's pattern can't read in a name is printed as ``_``.

        In a bucket the job's key needs the rights to get and put objects (``s3:GetObject``,
        ``s3:PutObject``), but not to list them.

        Args:
            metrics: Names and values; values are numbers, or text that is a number.

        Raises:
            TypeError: A value is no number.
            ValueError: A value is text that is no number, or a name is blank.
        """
        values = {_name(name, value): _number(name, value) for name, value in metrics.items()}
        if not is_chief():
            LOG.info("This replica isn't the first one: it records no metrics.")
            return
        for name, value in values.items():
            _print(name, value)
        sys.stdout.flush()
        uri = upload_path()
        if uri is None:
            LOG.info("TRAINED_MODEL_UPLOAD_PATH isn't set: the metrics are only printed.")
            return
        target_of(uri).append(SUFFIX, record_line(values, time.time()))


def _name(name: object, value: object) -> str:
    text = str(name)
    if not text.strip():
        raise ValueError(f"the metric {text!r} with the value {value!r} needs a name")
    return text


def _number(name: object, value: Any) -> float:
    # the truth values of NumPy and PyTorch would pass for 0 and 1, too
    if (
        value is None
        or isinstance(value, bool)
        or str(getattr(value, "dtype", "")).endswith("bool")
    ):
        raise TypeError(f"the metric {name!r} is {value!r}: give a number")
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"the metric {name!r} is {value!r}: give a number") from None
    except (TypeError, RuntimeError, OverflowError):  # PyTorch: more than one element
        raise TypeError(f"the metric {name!r} is {value!r}: give a number") from None


def _print(name: str, value: float) -> None:
    if not math.isfinite(value):
        LOG.warning("The metric %s is %s: it is recorded, but not printed.", name, value)
        return
    printed = _UNPRINTABLE.sub("_", name)
    if printed != name and name not in _renamed:
        _renamed.add(name)
        LOG.warning("The metric %r is printed as %r, which Katib can read.", name, printed)
    print(f"{printed}={value!r}")
