"""Records of a small study, and what its trials export."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from ss3d.config import TrialConfig
from ss3d.model.network import build_network
from ss3d.store import layout
from ss3d.trial import files
from ss3d.trial.records import EpochReport, SharedRecord, TrialRecord, TrialResult, TrialSpec

STUDY_SPEC = {
    "schema": 1,
    "name": "demo",
    "objective": {"metric": "val/cd_l1", "direction": "minimize"},
    "data": {"name": "shapes", "content_hash": "d" * 64},
    "budget": {"trials": 1},
    "created_at": 1_700_000_000.0,
}
CONFIG = TrialConfig.from_preset("tiny").override(
    {"model.num_points": 64, "data.labeled_ratio": 0.1, "data.image_size": 64}
)


def make_reports(count: int, phase: str = "semi", value: float = 12.0) -> tuple[EpochReport, ...]:
    """Epochs 0 .. count - 1; val/cd_l1 falls by 0.5 each."""
    return tuple(
        EpochReport.model_validate(
            {
                "phase": phase,
                "epoch": epoch,
                "step": 10 * epoch,
                "metrics": {
                    "val/cd_l1": value - 0.5 * epoch,
                    "val/cd_l1_teacher": value - 0.4 * epoch,
                    "val/gain": 0.5 * epoch,
                    "train/loss": 1 / (1 + epoch),
                },
                "system": {"epoch_s": 2.0, "rss_mib": 300.0},
                "digest": "0" * 64,
            }
        )
        for epoch in range(count)
    )


def make_trial(
    number: int = 17,
    state: str = "running",
    epochs: int = 4,
    value: float = 12.0,
    reason: str = "",
    ratio: float = 0.1,
) -> TrialRecord:
    config = CONFIG.override({"data.labeled_ratio": ratio, "semi.ema_decay": 0.999})
    spec = TrialSpec(
        study="demo",
        trial=layout.trial_id(number),
        params={"semi.ema_decay": 0.999, "semi.fp_magnitude": 0.5, "semi.lr": 3e-4},
        distributions={},
        stratum={"data.labeled_ratio": ratio},
        config=config,
        pretrain_key="ab" * 32,
        code_version="c0" * 32,
        data_hash="d" * 64,
        versions={},
        attrs={},
        proposed_at=1_700_000_100.0,
    )
    reports = make_reports(epochs, value=value)
    result = None
    if state != "running":
        result = TrialResult.model_validate(
            {
                "study": "demo",
                "trial": spec.trial,
                "state": state,
                "values": {"val/cd_l1": reports[-1].metrics["val/cd_l1"]} if reports else {},
                "reports": reports,
                "seconds": 2.0 * len(reports),
                "attempt": 1,
                "reason": reason,
                "finished_at": 1_700_000_500.0,
            }
        )
    return TrialRecord(spec=spec, result=result, reports=reports)


def make_pretrain(complete: bool = True) -> SharedRecord:
    return SharedRecord(
        key="ab" * 32,
        config=CONFIG,
        reports=make_reports(3, phase="pretrain"),
        seconds=6.0,
        complete=complete,
    )


def write_best(
    directory: Path, config: TrialConfig = CONFIG, seed: int = 0, value: float = 10.5
) -> None:
    """Write what `export_best` writes, of a network without training."""
    network = build_network(config.model, config.data.image_size, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    (directory / "previews").mkdir(parents=True)
    for tensor in network.parameters():  # the initial network ignores its image: move it away
        tensor.data.add_(0.05 * torch.randn(tensor.shape, generator=rng))
    sha = files.write_tensors(directory / "student.safetensors", dict(network.state_dict()))
    files.write_json(directory / "config.json", config.model_dump(mode="json"))
    ids = ["chair/1", "table/2"]
    images = torch.ones(2, 3, 64, 64)  # objects before a plain background
    images[:, :, 16:48, 16:48] = torch.rand(2, 3, 32, 32, generator=rng)
    clouds = torch.nn.functional.normalize(torch.randn(2, 64, 3, generator=rng), dim=-1)
    save_file(
        {
            "predicted": clouds * 0.5,
            "target": clouds,
            "image": images,
        },
        directory / "previews" / "val.safetensors",
        metadata={"ids": json.dumps(ids), "categories": json.dumps(["chair", "table"])},
    )
    files.write_json(
        directory / "metrics.json",
        {
            "sha256": sha,
            "phase": "semi",
            "epoch": 3,
            "data_hash": "d" * 64,
            "split_hash": "e" * 64,
            "val": {"val/cd_l1": value},
            "per_category": {},
            "per_model": {"chair/1": value - 0.5, "table/2": value + 0.5},
        },
    )
