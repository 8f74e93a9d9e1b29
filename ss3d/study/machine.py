"""What this machine offers to a search that runs here alone."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import torch

from ss3d.errors import ConfigError
from ss3d.study.tables import TYPE, Resources


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
    fitting = trials_on(_num_cpus(), torch.cuda.device_count(), resources)
    return slots or resources.max_concurrent or max(1, fitting)


def trials_on(cpus: float, gpus: float, resources: Resources) -> int:
    """Return how many trials fit on one machine at once.

    Args:
        cpus: of the machine.
        gpus: of the machine; a trial's share is of one of them.
        resources: what one trial occupies.
    """
    by_cpus = int(cpus / resources.cpus + 1e-9)
    if not resources.gpus:
        return by_cpus
    per_gpu = int(1 / resources.gpus + 1e-9)
    by_gpus = int(gpus) * per_gpu if per_gpu else int(gpus / resources.gpus)
    return min(by_cpus, by_gpus)


def slots_on(nodes: Sequence[Mapping[str, float]], resources: Resources) -> int:
    """Return how many trials fit into a cluster at once.

    Args:
        nodes: what each of its nodes offers, in Ray's words.
        resources: what one trial occupies, on one node.

    Raises:
        ConfigError: not even one trial fits, or no pretraining.
    """
    fit = [node for node in nodes if all(label in node for label in resources.labels)]
    offers = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in fit]
    for what, _, share in _shares(resources):
        if not any(trials_on(*offer, share) for offer in offers):
            raise _nothing_fits(what, share, nodes, offers)
    return sum(trials_on(*offer, resources) for offer in offers)


def _nothing_fits(
    what: str,
    resources: Resources,
    nodes: Sequence[Mapping[str, float]],
    offers: Sequence[tuple[float, float]],
) -> ConfigError:
    """Return what is asked for, and what there is."""
    there = {name.removeprefix(TYPE) for node in nodes for name in node if name.startswith(TYPE)}
    of_type = f" of type {resources.accelerator}" if resources.accelerator else ""
    known = f" (types: {', '.join(sorted(there)) or 'none'})" if of_type else ""
    offered = ", ".join(f"{cpus:g} and {gpus:g}" for cpus, gpus in offers) or "no such node"
    return ConfigError(
        f"resources: {what} asks for {resources.cpus:g} CPUs and {resources.gpus:g} GPUs{of_type} "
        f"on one node, Ray has {offered}{known}; lower [resources], or say --slots if the cluster "
        "grows when jobs wait"
    )


def check_fits(resources: Resources) -> None:
    """Refuse trials or pretrainings that ask for more than this machine has.

    Args:
        resources: what jobs occupy.

    Raises:
        ConfigError: not even one of them fits.
    """
    cpus, gpus = _num_cpus(), torch.cuda.device_count()
    for what, table, share in _shares(resources):
        if share.cpus > cpus or share.gpus > gpus:
            raise ConfigError(
                f"resources: {what} asks for {share.cpus:g} CPUs and {share.gpus:g} GPUs, "
                f"this machine has {cpus} and {gpus}; lower {table}"
            )


def why_crowded(resources: Resources, threads: int) -> str:
    """Return a note if jobs compute with more threads than they have CPUs; empty if not.

    Args:
        resources: what jobs occupy.
        threads: `numerics.threads`.
    """
    for what, table, share in _shares(resources):
        if threads > share.cpus:
            return (
                f"{what} computes with numerics.threads = {threads} on cpus = {share.cpus:g}: jobs "
                f"take each other's CPUs; set {table} cpus = {threads}"
            )
    return ""


def _shares(resources: Resources) -> tuple[tuple[str, str, Resources], ...]:
    """Return what asks for resources, in words, in which table, and for how much."""
    return (
        ("a trial", "[resources]", resources),
        ("a pretraining", "[resources.pretrain]", resources.of("pretrain")),
    )


def _num_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
