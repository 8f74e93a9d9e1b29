"""What a network costs to run: latency and peak memory of one image (the paper's Table 7)."""

from __future__ import annotations

import statistics
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ss3d.config import TrialConfig
from ss3d.model.counting import count_flops, count_parameters
from ss3d.model.network import Network, build_network

WARM_UPS, RUNS = 10, 50
"""As the paper's protocol: the median of 50 runs after 10 warm-ups."""
BUDGET_S = 20.0
"""A slow network gets fewer runs, so that all fit into about so many seconds."""
_FEWEST = 5


@dataclass(frozen=True)
class Cost:
    """One line of the efficiency table, at batch 1."""

    name: str
    changes: Mapping[str, Any]
    """Dotted paths that differ from the preset."""
    image_size: int
    parameters: int
    flops: int
    """Two per multiply-add."""
    latency_s: float
    """Median of `runs`."""
    runs: int
    peak_bytes: int
    """Weights, buffers, input and activations alive at once."""


def ablations(config: TrialConfig) -> dict[str, dict[str, Any]]:
    """Return the changes of every ablation that a configuration allows, by name."""
    last = config.model.stage_widths[-1]
    changes: dict[str, dict[str, Any]] = {
        "without HFA": {"model.use_hfa": False},
        "two HFA layers": {"model.num_hfa_layers": 2},
        "MLP decoder": {"model.decoder": "mlp"},
        "two decoder blocks": {"model.num_decoder_blocks": 2},
        "one head": {"model.num_heads": 1, "model.num_decoder_heads": 1},
        "16 heads": {"model.num_heads": 16, "model.num_decoder_heads": min(16, last)},
        "feature graph": {"model.graph": "feature"},
        "progressive coordinates": {"model.progressive_coords": True},
        "coordinate graph": {"model.graph": "coords", "model.progressive_coords": True},
        "semantics from the image": {"model.semantic_input": "image"},
        "theta of Point Transformer": {"model.theta": "point_transformer"},
    }
    if config.model.backbone == "resnet50":
        changes["layer3"] = {"model.image_features": "layer3"}
    changes |= {
        f"{side} x {side} pixels": {"data.image_size": side}
        for side in (128, 137, 224)
        if side < config.data.image_size
    }
    return changes


def measure_cost(
    name: str, config: TrialConfig, changes: Mapping[str, Any], device: torch.device
) -> Cost:
    """Build the changed network at random and run it on one image.

    Args:
        name: of the line.
        config: what is changed.
        changes: dotted paths and values.
        device: where it runs; the numerics are fp32.
    """
    changed = config.override(changes)
    size = changed.data.image_size
    network = build_network(changed.model, size, seed=0).to(device).eval()
    image = torch.randn(1, 3, size, size, device=device)
    latency, runs = measure_latency(lambda: network(image), device)
    return Cost(
        name=name,
        changes=dict(changes),
        image_size=size,
        parameters=count_parameters(network)["total"],
        flops=count_flops(changed.model, size)["total"],
        latency_s=latency,
        runs=runs,
        peak_bytes=measure_memory(network, image),
    )


@torch.inference_mode()
def measure_latency(
    run: Callable[[], object], device: torch.device, budget_s: float = BUDGET_S
) -> tuple[float, int]:
    """Return the median seconds of a call and the number of calls it is the median of.

    Args:
        run: what is timed.
        device: waited for before and after every call.
        budget_s: a slow call is repeated less often, but five times.
    """
    first = _time(run, device)
    total = min(WARM_UPS + RUNS, max(_FEWEST + 1, int(budget_s / max(first, 1e-9))))
    warm_ups = total * WARM_UPS // (WARM_UPS + RUNS)
    for _ in range(warm_ups):
        _time(run, device)
    times = [_time(run, device) for _ in range(total - warm_ups)]
    return statistics.median(times), len(times)


def measure_memory(network: Network, image: Tensor) -> int:
    """Return the largest number of bytes alive during one forward pass, the network included.

    On CUDA the allocator's peak; elsewhere the sum of all tensors alive, which does not depend on
    the machine and leaves out the scratch space of kernels.
    """
    if image.is_cuda:
        torch.cuda.reset_peak_memory_stats(image.device)
        with torch.inference_mode():
            network(image)
        torch.cuda.synchronize(image.device)
        return torch.cuda.max_memory_allocated(image.device)
    held = {*network.parameters(), *network.buffers(), image}
    with torch.no_grad(), LiveTensors() as live:
        network(image)
    return live.peak + sum(tensor.numel() * tensor.element_size() for tensor in held)


class LiveTensors(TorchDispatchMode):
    """Follow the storages that operations create while it is entered.

    Attributes:
        current: bytes alive that were created inside.
        peak: the largest `current` so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.current = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and count the storages of its result that none of its inputs has."""
        kwargs = kwargs or {}
        inputs = {
            leaf.untyped_storage().data_ptr()
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, Tensor)
        }
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() not in inputs:
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.current -= size


def _time(run: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    started = perf_counter()
    run()
    _wait(device)
    return perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
