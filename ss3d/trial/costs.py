"""What an epoch and its network cost: seconds, memory, size, and latency of one image."""

from __future__ import annotations

import psutil
import torch

from ss3d.model.counting import count_parameters
from ss3d.model.efficiency import measure_latency
from ss3d.trial.state import TrialState


def count_of(state: TrialState) -> dict[str, float]:
    """Return the network's number of parameters, as `ss3d model info` counts it."""
    return {"model/parameters": float(count_parameters(state.student)["total"])}


def measure_system(state: TrialState, epoch_s: float) -> dict[str, float]:
    """Return what differs from run to run.

    `rss_mib`: the process's memory now; `gpu_mib`: the epoch's peak on the GPU; `memory_mib`: of
    the two, the one of the device that trains; `latency_ms`: of the teacher-student phase. Under
    MLflow's names, of the whole node: `cpu_utilization_percentage` since the last epoch,
    `system_memory_usage_percentage` now, and `gpu_0_memory_usage_percentage` of the GPU in use.
    """
    system = {
        "epoch_s": epoch_s,
        "rss_mib": psutil.Process().memory_info().rss / 2**20,
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_percentage": psutil.virtual_memory().percent,
    }
    if torch.cuda.is_available():
        system["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
        free, total = torch.cuda.mem_get_info()
        system["gpu_0_memory_usage_percentage"] = 100 * (1 - free / total)
    system["memory_mib"] = system["gpu_mib" if state.device.type == "cuda" else "rss_mib"]
    if state.phase == "semi":
        system["latency_ms"] = _latency_ms(state)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return system


def _latency_ms(state: TrialState) -> float:
    """Return the median of five predictions of one image, measured once and then repeated."""
    last = state.reports[-1] if state.reports else None
    if last and last.phase == "semi" and "latency_ms" in last.system:
        return last.system["latency_ms"]
    side = state.config.data.image_size
    image = torch.zeros(1, 3, side, side, device=state.device)
    network = state.student
    was_training = network.training
    network.eval()
    seconds, _ = measure_latency(lambda: network(image), state.device, budget_s=0.0)
    network.train(was_training)
    return 1000 * seconds
