"""The `[resources]` that a measured trial suggests: its share of a GPU, or the CPUs it uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ss3d.config import TrialConfig
from ss3d.trial.gpu_share import rounded_share, sharing_trials

_GIB = 2**30


@dataclass(frozen=True)
class Suggestion:
    """What to write into `[resources]`."""

    cpus: int
    gpus: float
    why: str

    def __str__(self) -> str:
        """Return it as a line for the user."""
        return f"suggested [resources]: cpus = {self.cpus}, gpus = {self.gpus:g}: {self.why}"


def suggest_resources(
    configs: Iterable[TrialConfig], peak_bytes: int, device_bytes: int
) -> Suggestion:
    """Return what a trial needs, so that as many as possible run at once.

    Args:
        configs: of the planned trials.
        peak_bytes: that the largest reserved of a GPU's memory.
        device_bytes: memory of the GPU; 0 if there is none.
    """
    threads = max(config.numerics.threads for config in configs)
    if not device_bytes:
        return Suggestion(threads, 0, f"numerics.threads is {threads} at most")
    count = sharing_trials(peak_bytes, device_bytes)
    sizes = f"{peak_bytes / _GIB:.2g} of {device_bytes / _GIB:.3g} GiB"
    return Suggestion(
        threads,
        rounded_share(count),
        f"the largest trial took {sizes} of the GPU's memory, so {count} have room; how much "
        "faster they are together is not measured",
    )
