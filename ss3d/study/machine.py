"""What this machine offers to a search that runs here alone."""

from __future__ import annotations

import math
import os

import torch

from ss3d.errors import ConfigError
from ss3d.study.tables import Resources


def offered_cpus(resources: Resources, slots: int | None) -> int:
    """Return the CPUs to offer: those of this process, or more if wanted slots shall share them.

    Args:
        resources: what one trial occupies.
        slots: wanted by the user.
    """
    wanted = (slots or resources.max_concurrent or 0) * resources.cpus
    return max(_num_cpus(), math.ceil(wanted - 1e-9))


def fitting_slots(resources: Resources, slots: int | None) -> int:
    """Return how many trials run at once on this machine, at least one.

    Args:
        resources: what one trial occupies.
        slots: wanted by the user.
    """
    fitting = int(_num_cpus() / resources.cpus)
    if resources.gpus:
        fitting = min(fitting, int(torch.cuda.device_count() / resources.gpus + 1e-9))
    return slots or resources.max_concurrent or max(1, fitting)


def check_fits(resources: Resources) -> None:
    """Refuse a trial that asks for more than this machine has.

    Args:
        resources: what one trial occupies.

    Raises:
        ConfigError: not even one trial fits.
    """
    cpus, gpus = _num_cpus(), torch.cuda.device_count()
    if resources.cpus > cpus or resources.gpus > gpus:
        raise ConfigError(
            f"resources: a trial asks for {resources.cpus:g} CPUs and {resources.gpus:g} GPUs, "
            f"this machine has {cpus} and {gpus}; lower [resources]"
        )


def _num_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
