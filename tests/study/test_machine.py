"""What fits, and what a trial that shares a GPU may take of it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ss3d.config import TrialConfig
from ss3d.errors import ConfigError
from ss3d.study.machine import slots_on, trials_on, why_crowded
from ss3d.study.suggestion import suggest_resources
from ss3d.study.tables import Resources
from ss3d.trial.gpu_share import limit_memory, memory_fraction, rounded_share, sharing_trials

GIB = 2**30


@pytest.mark.parametrize(
    ("cpus", "gpus", "resources", "expected"),
    [
        (16, 0, Resources(cpus=3), 5),
        (16, 4, Resources(cpus=1, gpus=0.25), 16),
        (64, 4, Resources(cpus=1, gpus=0.4), 8),  # two on each: no share is of two GPUs
        (64, 4, Resources(cpus=1, gpus=3), 1),
        (2, 1, Resources(cpus=1, gpus=0.3333), 2),
        (1, 1, Resources(cpus=2, gpus=1), 0),
        (0.3, 0, Resources(cpus=0.1), 3),
    ],
)
def test_trials_fit_a_machine_whole(
    cpus: float, gpus: float, resources: Resources, expected: int
) -> None:
    assert trials_on(cpus, gpus, resources) == expected


def test_only_nodes_of_the_type_count_and_an_impossible_trial_is_told_what_there_is() -> None:
    a100, plain = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0}, {"CPU": 64.0}
    assert slots_on([a100, plain, a100], Resources(gpus=0.5, accelerator="A100")) == 8
    assert slots_on([a100, plain], Resources()) == 72
    with pytest.raises(ConfigError, match=r"1 GPUs of type T4 on one node, .* \(types: A100\);"):
        slots_on([a100, plain], Resources(gpus=1, accelerator="T4"))
    with pytest.raises(ConfigError, match="Ray has 8 and 2, 64 and 0; lower"):
        slots_on([a100, plain], Resources(cpus=65))


def test_more_than_one_gpu_is_a_whole_number_of_them() -> None:
    assert Resources(gpus=2.0).gpus == 2
    with pytest.raises(ValidationError, match="whole GPUs, or a share of one"):
        Resources(gpus=1.5)


def test_more_threads_than_cpus_are_noted() -> None:
    assert why_crowded(Resources(cpus=2), 2) == ""
    assert why_crowded(Resources(), 4).endswith("set [resources] cpus = 4")


def test_an_accelerator_is_asked_for_as_ray_does() -> None:
    """`accelerator_type:A100` is a resource of every node that has one, of which 0.001 is asked."""
    bundle = Resources(cpus=2, gpus=0.5, accelerator="A100").as_bundle()
    assert bundle == {"CPU": 2, "GPU": 0.5, "accelerator_type:A100": 0.001}
    assert Resources().as_bundle() == {"CPU": 1, "GPU": 0}


@given(st.integers(1, 64), st.integers(1 * GIB, 200 * GIB))
def test_shares_of_a_gpu_never_add_up_to_more_than_it(count: int, device_bytes: int) -> None:
    share = rounded_share(count)
    assert count * share <= 1 < count * (share + 2e-4)
    fraction = memory_fraction(share, device_bytes)
    if count == 1:
        assert fraction is None
        return
    assert fraction is not None
    assert 0 < fraction < share
    own = 768 * 2**20  # of CUDA itself; in vain if the shares are smaller than twice that
    assert fraction == share / 2 or count * (fraction * device_bytes + own) <= device_bytes + 1


@given(st.integers(1, 80 * GIB), st.integers(2 * GIB, 80 * GIB))
def test_as_many_share_a_gpu_as_have_room_within_their_limits(peak: int, device: int) -> None:
    count = sharing_trials(peak, device)
    fraction = memory_fraction(rounded_share(count), device)
    assert count == 1 or (fraction is not None and fraction * device >= peak - 1)


def test_a_trial_of_10_of_90_gib_suggests_a_seventh_of_the_gpu() -> None:
    config = TrialConfig.from_preset("tiny")
    found = suggest_resources([config], 10 * GIB, 90 * GIB)
    assert (found.cpus, found.gpus) == (1, 0.1428)
    assert "took 10 of 90 GiB of the GPU's memory, so 7 have room" in str(found)
    on_cpu = suggest_resources([config, config.override({"numerics.threads": 3})], 0, 0)
    assert (on_cpu.cpus, on_cpu.gpus) == (3, 0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_process_with_a_share_of_a_gpu_cannot_take_a_neighbor_s() -> None:
    device = torch.device("cuda")
    total = torch.cuda.get_device_properties(device).total_memory
    limit_memory(device, 0.25)
    try:
        held = torch.empty(int(0.2 * total), dtype=torch.uint8, device=device)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(0.1 * total), dtype=torch.uint8, device=device)
        del held
    finally:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert math.isclose(torch.cuda.get_per_process_memory_fraction(), 1.0)
