"""The trial as a generator: phases, exact resume, shared pretraining, threads, divergence."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from ss3d.errors import CheckpointError, DivergedError, RefusedError
from ss3d.trial.checkpoint import load_state, save_state
from ss3d.trial.directory import open_directory, train_in_directory
from ss3d.trial.export import export_best, load_network
from ss3d.trial.records import COST_METRICS, EpochReport
from ss3d.trial.run import run_trial
from ss3d.trial.state import new_state, pretrained_state
from ss3d.trial.verdict import compare

CPU = torch.device("cpu")


def facts(reports):
    """Everything of a report that must repeat bit for bit."""
    return [(r.phase, r.epoch, r.step, r.metrics, r.digest, r.per_model) for r in reports]


@pytest.fixture(scope="module")
def unbroken(quick_config, tiny_data):
    return list(run_trial(new_state(quick_config, None, CPU), tiny_data))


def test_epochs_come_in_order_and_epoch_zero_is_the_pretrained_value(unbroken, quick_config):
    pretrain, semi = quick_config.pretrain, quick_config.semi
    assert [(r.phase, r.epoch) for r in unbroken] == [
        *(("pretrain", e) for e in range(1, pretrain.epochs + 1)),
        *(("semi", e) for e in range(semi.epochs + 1)),
    ]
    best = min(r.metrics["val/cd_l1"] for r in unbroken if r.phase == "pretrain")
    zero = next(r for r in unbroken if r.phase == "semi")
    assert zero.metrics["val/cd_l1"] == zero.metrics["val/cd_l1_teacher"] == best
    assert unbroken[-1].metrics["val/gain"] == best - unbroken[-1].metrics["val/cd_l1"]
    assert unbroken[-1].step == semi.steps


def test_every_teacher_student_epoch_says_what_the_network_costs(unbroken, quick_config):
    network = new_state(quick_config, None, CPU).student
    size = sum(parameter.numel() for parameter in network.parameters())
    assert {r.metrics["model/parameters"] for r in unbroken} == {size}
    semi = [r for r in unbroken if r.phase == "semi"]
    for name in COST_METRICS:
        assert all(r.value(name) > 0 for r in semi), name
    assert len({r.value("system/latency_ms") for r in semi}) == 1  # measured once


def test_a_resumed_trial_repeats_the_latency_that_it_measured(quick_config, tiny_data, tmp_path):
    state = new_state(quick_config, None, CPU)
    reports = list(islice(run_trial(state, tiny_data), quick_config.pretrain.epochs + 2))
    save_state(state, tmp_path / "checkpoint")
    later = list(run_trial(load_state(tmp_path / "checkpoint", CPU), tiny_data))
    assert later[-1].value("system/latency_ms") == reports[-1].value("system/latency_ms")


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_resumed_equals_unbroken_wherever_it_broke(
    after, unbroken, quick_config, tiny_data, tmp_path
):
    state = new_state(quick_config, None, CPU)
    list(islice(run_trial(state, tiny_data), after))
    save_state(state, tmp_path / "checkpoint")
    resumed = load_state(tmp_path / "checkpoint", CPU)
    list(run_trial(resumed, tiny_data))
    assert facts(resumed.reports) == facts(unbroken)


def test_a_shared_pretrained_state_gives_the_bits_of_an_own_one(
    unbroken, quick_config, tiny_data, tmp_path
):
    other = quick_config.override({"semi.ema_decay": 0.5})  # another trial with the same pretrain
    producer = new_state(other, None, CPU)
    for _ in run_trial(producer, tiny_data):
        if producer.pretrained:
            break
    export_best(producer, tiny_data, tmp_path)
    shared = pretrained_state(quick_config, tmp_path, CPU)
    reports = list(run_trial(shared, tiny_data))
    assert facts(reports) == facts(r for r in unbroken if r.phase == "semi")
    verdict = compare(unbroken, reports)
    assert (verdict.verdict, verdict.first_difference) == ("bitwise", None)


def test_a_rerun_with_another_seed_differs_and_says_where(unbroken, quick_config, tiny_data):
    other = new_state(quick_config.override({"semi.seed": 1}), None, CPU)
    verdict = compare(unbroken, list(run_trial(other, tiny_data)))
    assert verdict.verdict != "bitwise"
    assert verdict.first_difference is not None
    place = verdict.first_difference
    assert (place["phase"], place["epoch"]) == ("semi", 1)  # pretraining and epoch 0 are equal


def test_without_the_semi_phase_the_trial_ends_with_its_pretrained_value(quick_config, tiny_data):
    config = quick_config.override({"semi.enabled": False})
    reports = list(run_trial(new_state(config, None, CPU), tiny_data))
    assert [(r.phase, r.epoch) for r in reports][-2:] == [("pretrain", 2), ("semi", 0)]


def test_patience_ends_pretraining_early(quick_config, tiny_data):
    config = quick_config.override(
        {"pretrain.epochs": 6, "pretrain.steps": 6, "pretrain.patience": 1, "pretrain.lr": 10.0}
    )
    state = new_state(config, None, CPU)
    epochs = [r.epoch for r in run_trial(state, tiny_data) if r.phase == "pretrain"]
    values = [r.metrics["val/cd_l1"] for r in state.reports if r.phase == "pretrain"]
    worse = next(i for i in range(1, len(values)) if values[i] >= min(values[:i]))
    assert epochs[-1] == worse + 1 < 6


def test_the_configuration_decides_the_threads_and_they_the_bits(quick_config, tiny_data):
    big = quick_config.override(
        {"model.num_points": 512, "model.width": 64, "model.stage_widths": (32, 32, 32)}
        | {"pretrain.steps": 2, "pretrain.epochs": 1, "semi.enabled": False}
    )
    digests = {}
    for threads in (1, 2, 1):
        torch.set_num_threads(3 - threads)
        state = new_state(big.override({"numerics.threads": threads}), None, CPU)
        report = next(run_trial(state, tiny_data))
        assert torch.get_num_threads() == threads
        assert digests.setdefault(threads, report.digest) == report.digest
    assert digests[1] != digests[2]


def test_all_gradients_are_finite_and_the_teacher_follows(unbroken):
    semi = [r for r in unbroken if r.phase == "semi" and r.epoch > 0]
    assert all(r.metrics["train/grad_norm"] > 0 for r in semi)
    assert all(0 < r.metrics["train/teacher_distance"] < 0.1 for r in semi)
    assert all(r.metrics["train/loss_fp"] > 0 for r in semi)


def test_teacher_student_epochs_carry_the_distance_of_each_validation_model(unbroken, tiny_data):
    for report in unbroken:
        if report.phase == "pretrain":
            assert report.per_model == ()
        else:
            assert len(report.per_model) == len(tiny_data.validation)
            mean = sum(report.per_model) / len(report.per_model)
            assert mean == pytest.approx(report.metrics["val/cd_l1"], rel=1e-6)
    assert EpochReport.from_json(unbroken[-1].to_json()) == unbroken[-1]


def test_a_diverging_trial_says_so(quick_config, tiny_data):
    config = quick_config.override({"pretrain.lr": 1e30, "pretrain.grad_clip": 1e30})
    with pytest.raises(DivergedError, match=r"not finite|is nan|is inf"):
        list(run_trial(new_state(config, None, CPU), tiny_data))


def test_an_export_is_the_best_epoch_and_loads_again(quick_config, tiny_data, tmp_path):
    state = new_state(quick_config, None, CPU)
    list(run_trial(state, tiny_data))
    summary = export_best(state, tiny_data, tmp_path)
    semi = {r.epoch: r for r in state.reports if r.phase == "semi" and r.epoch > 0}
    best = min(semi, key=lambda epoch: semi[epoch].metrics["val/cd_l1"])
    assert summary["epoch"] == best
    assert summary["val"]["val/cd_l1"] == semi[best].metrics["val/cd_l1"]
    network, config = load_network(tmp_path, CPU)
    assert config == quick_config
    assert not network.training


def test_a_damaged_or_foreign_export_is_refused(quick_config, tiny_data, tmp_path):
    state = new_state(quick_config, None, CPU)
    next(run_trial(state, tiny_data))
    export_best(state, tiny_data, tmp_path)
    wider = quick_config.override({"model.num_points": 64})
    with pytest.raises(CheckpointError, match="the configuration asks"):
        pretrained_state(wider, tmp_path, CPU)
    weights = tmp_path / "student.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="sha256"):
        load_network(tmp_path, CPU)


def test_a_directory_resumes_and_refuses_what_would_lose_a_trial(
    unbroken, quick_config, tiny_data, tmp_path
):
    state = open_directory(tmp_path, quick_config, tiny_data, False, None, CPU)
    list(islice(train_in_directory(state, tiny_data, tmp_path), 2))
    with pytest.raises(RefusedError, match="--resume"):
        open_directory(tmp_path, quick_config, tiny_data, False, None, CPU)
    other = quick_config.override({"semi.lr": 0.5})
    with pytest.raises(RefusedError, match=r"semi\.lr"):
        open_directory(tmp_path, other, tiny_data, True, None, CPU)
    elsewhere = replace(tiny_data, data_hash="other")
    with pytest.raises(RefusedError, match=r"data_hash: .* -> other"):
        open_directory(tmp_path, quick_config, elsewhere, True, None, CPU)
    again = open_directory(tmp_path, quick_config, tiny_data, True, None, CPU)
    list(train_in_directory(again, tiny_data, tmp_path))
    assert facts(again.reports) == facts(unbroken)
    assert (tmp_path / "best" / "student.safetensors").exists()


def test_two_processes_do_not_train_in_one_directory(quick_config, tiny_data, tmp_path):
    states = [open_directory(tmp_path, quick_config, tiny_data, False, None, CPU) for _ in range(2)]
    first, second = (train_in_directory(state, tiny_data, tmp_path) for state in states)
    next(first)
    with pytest.raises(RefusedError, match="in use"):
        next(second)
    first.close()


def test_bf16_trains_with_clouds_and_distances_in_fp32(unbroken, quick_config, tiny_data):
    state = new_state(quick_config.override({"numerics.precision": "bf16"}), None, CPU)
    reports = list(run_trial(state, tiny_data))
    assert reports[-1].digest != unbroken[-1].digest
    assert reports[-1].metrics["val/cd_l1"] == pytest.approx(
        unbroken[-1].metrics["val/cd_l1"], rel=0.05
    )
    assert state.student(torch.zeros(1, 3, 32, 32)).dtype == torch.float32
