"""What a rerun will do, need and cost, found out before anything large is read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ss3d.cli.opening import open_prepared, pick_device
from ss3d.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

    from ss3d.data.dataset import Dataset
    from ss3d.data.loader import TrialData
    from ss3d.data.part import Part
    from ss3d.settings import Settings
    from ss3d.store.protocol import Store
    from ss3d.trial.circumstances import Change
    from ss3d.trial.records import TrialRecord
    from ss3d.trial.rerun import Plan


@dataclass(frozen=True)
class Prepared:
    """A rerun that can begin."""

    trial: str
    """STUDY/t00017."""
    settings: Settings
    store: Store
    study_spec: Mapping[str, Any]
    record: TrialRecord
    device: torch.device
    part: Part
    plan: Plan
    changes: list[Change]
    bytes_to_read: dict[str, int]
    """What is not on this machine yet, by what it is."""

    def describe(self) -> dict[str, Any]:
        """Return circumstances and estimate as `--json` shows them."""
        from ss3d.trial.circumstances import expects_bitwise

        return {
            "study": self.record.spec.study,
            "trial": self.record.spec.trial,
            "changes": [change._asdict() for change in self.changes],
            "expects_bitwise": expects_bitwise(self.changes),
            "estimate": {"seconds": self.plan.seconds, "bytes": self.bytes_to_read},
        }

    def load_data(self, quiet: bool) -> TrialData:
        """Read and decode what of the data set is needed and not cached."""
        from ss3d.cli.manifest_table import progress_bar
        from ss3d.data.loader import load_data

        part, config = self.part, self.plan.config.data
        shown = nullcontext(None) if quiet or not part.num_bytes else progress_bar("reading data")
        with shown as progress:
            return load_data(part, config, part.cache_dir, self.device, progress)


def prepare(
    trial: str,
    settings: Settings,
    *,
    data: str | None,
    device: str | None,
    values: Mapping[str, Any],
    last: int | None,
    after: int | None,
    own_pretrain: bool,
) -> Prepared:
    """Read the sealed specification and find out what a rerun comes to.

    Args:
        trial: STUDY/t00017.
        settings: of the store and the cache.
        data: where the data set is, if it is not where it was.
        device: name; the original's by default.
        values: of a what-if, under dotted paths; empty for a proof.
        last: the teacher-student epoch to end with.
        after: begin with the checkpoint of this epoch.
        own_pretrain: pretrain again.

    Raises:
        ConfigError: there is no such trial, checkpoint, parameter or device.
        DataError: the data set is not there.
    """
    from ss3d.data.part import needed_part
    from ss3d.store.layout import split_trial_path
    from ss3d.store.opening import open_store
    from ss3d.trial.history import load_study_spec, load_trial_record
    from ss3d.trial.rerun import plan_rerun, plan_what_if

    store = open_store(settings.store_address)
    study, name = split_trial_path(trial)
    record, spec = load_trial_record(store, study, name), load_study_spec(store, study)
    used_gpu = bool(spec.get("resources", {}).get("gpus"))
    target = _device(device, used_gpu)
    if values:
        plan = plan_what_if(store, record, values, last=last, own_pretrain=own_pretrain)
    else:
        plan = plan_rerun(store, record, last=last, after=after, own_pretrain=own_pretrain)
    dataset = _open_data(data, spec["data"]["address"])
    part = needed_part(dataset, plan.config.data, settings.cache_dir)
    return Prepared(
        trial=trial,
        settings=settings,
        store=store,
        study_spec=spec,
        record=record,
        device=target,
        part=part,
        plan=plan,
        changes=_changes(store, record, plan, used_gpu, dataset, target),
        bytes_to_read=_bytes_to_read(store, plan, part, settings),
    )


def _device(name: str | None, used_gpu: bool) -> torch.device:
    import torch

    if name is None and used_gpu and not torch.cuda.is_available():
        raise ConfigError(
            "--device: the original trained on a GPU, this machine has none; with --device cpu "
            "the numbers can repeat within tolerance, not bitwise"
        )
    return pick_device(name or ("cuda" if used_gpu else "cpu"))


def _open_data(address: str | None, recorded: str) -> Dataset:
    """Open the data set where the study had it, or where the user says."""
    if address is not None:
        return open_prepared(address)
    try:
        return open_prepared(recorded)
    except DataError as error:
        raise DataError(
            f"{error}; if the study's data set moved, say where to by --data"
        ) from error


def _changes(
    store: Store,
    record: TrialRecord,
    plan: Plan,
    used_gpu: bool,
    dataset: Dataset,
    device: torch.device,
) -> list[Change]:
    """Return what differs from the circumstances in which the numbers to repeat were made."""
    from ss3d.store import layout
    from ss3d.trial.circumstances import changes_since, read_attempts

    spec = record.spec
    attempts = read_attempts(store, layout.trial(spec.study, spec.trial))
    if plan.bundle is None:
        attempts += read_attempts(store, layout.pretrain(spec.pretrain_key))
    return changes_since(spec, attempts, used_gpu, dataset.manifest.content_hash, device)


def _bytes_to_read(store: Store, plan: Plan, part: Part, settings: Settings) -> dict[str, int]:
    from ss3d.trial.rerun import bytes_to_read
    from ss3d.trial.weights import unread_bytes

    sha256 = plan.config.model.weights if plan.bundle is None else None
    found = {
        "data": part.num_bytes,
        "pretrained state" if plan.after is None else "checkpoint": bytes_to_read(store, plan),
        "backbone weights": unread_bytes(store, sha256, settings.cache_dir) if sha256 else 0,
    }
    return {name: size for name, size in found.items() if size}
