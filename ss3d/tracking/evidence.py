"""What the store has to say for a candidate: seeds, lineage, reruns, looks at the test models."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ss3d.errors import ConfigError
from ss3d.report.challenge import Challenge
from ss3d.report.exported_distances import Exports
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.tracking.candidate import Candidate
from ss3d.tracking.ledger import Answer, Entry
from ss3d.trial.history import load_study_record, read_object, trial_export
from ss3d.trial.readings import list_readings
from ss3d.trial.spec import code_version

_FORCE = "or --force with a --reason"


@dataclass(frozen=True)
class Case:
    """All that gates look at."""

    store: Store
    candidate: Candidate
    champion: Entry | None
    challenge: Challenge | None
    """None without a champion, or where its measurements were not kept."""
    margin: float

    @property
    def not_comparable(self) -> str:
        """Return why there is no gain over the champion."""
        if self.challenge is None:
            return "what the champion measured was not kept"
        return self.challenge.reason


def confirmed(case: Case, seeds: int) -> Answer:
    """Answer whether other seeds confirm the gain: mean - sd keeps the margin."""
    candidate, champion = case.candidate, case.champion
    goal = f"{seeds} seeds"
    if champion is not None:
        goal += f" with mean - sd of the gain >= {case.margin:g}"
    if candidate.study is None:
        return _of_study("confirmed_seeds", goal)
    name = f"{candidate.study}-confirm"
    advice = f"run `ss3d confirm {candidate.study} --seeds {seeds}`, {_FORCE}"
    try:
        values = _repetitions(case, name)
    except ConfigError:
        return Answer(
            gate="confirmed_seeds", passed=False, got=f"there is no study {name}", expected=goal,
            advice=advice,
        )  # fmt: skip
    got, passed = f"{len(values)} seeds in {name}", len(values) >= seeds
    if passed and champion is not None:
        words, passed = _gain_of_seeds(case, values)
        got, advice = f"{got}, {words}", f"promote another trial, {_FORCE}"
    return Answer(
        gate="confirmed_seeds", passed=passed, got=got, expected=goal,
        advice="" if passed else advice,
    )  # fmt: skip


def clean_lineage(case: Case, _wanted: bool) -> Answer:
    """Answer whether code and data of the candidate are known and are those that are here."""
    candidate, here = case.candidate, code_version()
    spec: Any = candidate.study_spec or {}
    named = str(spec.get("data", {}).get("content_hash", candidate.data_hash))
    problems = [
        *([] if candidate.code_version else ["its code version was not recorded"]),
        *([] if candidate.data_hash else ["its data hash was not recorded"]),
    ]
    if candidate.code_version not in ("", here):
        problems.append(f"code {candidate.code_version[:12]}… trained it, {here[:12]}… is here")
    hashes = {candidate.data_hash, candidate.measured.data_hash, named} - {""}
    if len(hashes) > 1:
        problems.append(f"data {', '.join(sorted(one[:12] + '…' for one in hashes))}")
    return Answer(
        gate="clean_lineage",
        passed=not problems,
        got="; ".join(problems) or f"code {here[:12]}…, data {named[:12]}…",
        expected="one code version, here and then, and one data set",
        advice="train it again with this code, or promote from that one" if problems else "",
    )


def rerun(case: Case, wanted: str) -> Answer:
    """Answer whether the newest recorded rerun repeated the numbers up to the promoted epoch."""
    candidate = case.candidate
    goal = f"{wanted}, over epochs 0 to {candidate.measured.epoch}"
    if candidate.study is None:
        return _of_study("rerun", goal)
    keys = sorted(case.store.list(layout.reruns(candidate.study, candidate.trial)))
    blob = case.store.get(keys[-1]) if keys else None
    found = {} if blob is None else read_object(blob.data, keys[-1])
    verdict, epochs = str(found.get("verdict", "never run")), int(found.get("epochs", 0))
    accepted = {"bitwise", wanted}
    is_from_start = found.get("after") is None
    passed = verdict in accepted and is_from_start and epochs > candidate.measured.epoch
    return Answer(
        gate="rerun", passed=passed, got=f"{verdict}, {epochs} epochs compared", expected=goal,
        advice="" if passed else f"run `ss3d rerun {candidate.origin} --check`, {_FORCE}",
    )  # fmt: skip


def read_test_once(case: Case, _wanted: bool) -> Answer:
    """Answer whether the test models were read once, by these weights, and by no rival."""
    candidate = case.candidate
    readings = list_readings(candidate.readings, candidate.measured.data_hash)
    sha = candidate.measured.weights_sha256
    own = [one for one in readings if one.weights_sha256 == sha]
    family = f"{candidate.study}/"
    rivals = sorted({o.model for o in readings if o not in own and o.model.startswith(family)})
    result = candidate.record.result if candidate.record else None
    early = [one for one in own if result and one.read_at < result.finished_at]
    got = f"{len(own)} readings by these weights"
    if early:
        got += ", one before the trial was finished"
    if rivals:
        got += f", others of the study by {', '.join(rivals)}"
    passed = len(own) == 1 and not early and not rivals
    advice = "who read more than once may have chosen by the test models: --force with a --reason"
    if not readings:
        advice = f"run `ss3d evaluate {candidate.origin} --data … --split test` once"
    return Answer(
        gate="read_test_once", passed=passed, got=got,
        expected="1 reading, of the chosen trial, after the choice",
        advice="" if passed else advice,
    )  # fmt: skip


def _gain_of_seeds(case: Case, values: list[float]) -> tuple[str, bool]:
    """Return mean - sd of the gain over the champion in words, and whether it keeps the margin."""
    found = case.challenge
    if found is None or found.gain is None:
        return case.not_comparable, False
    mean, sd = found.champion.cd_l1 - fmean(values), stdev(values)
    return f"gain {mean:+.3f} - {sd:.3f} = {mean - sd:+.3f}", mean - sd >= case.margin


def _repetitions(case: Case, confirmation: str) -> list[float]:
    """Return the best `cd_l1` of each complete repetition of the candidate with other seeds."""
    study = load_study_record(case.store, confirmation)
    exports = Exports(case.store)
    if study.spec.get("confirms") != case.candidate.study:
        return []
    values: list[float] = []
    for trial in study.trials:
        if trial.state == "complete" and trial.spec.stratum.get("arm") == case.candidate.trial:
            prefix = trial_export(case.store, confirmation, trial.spec.trial)
            found = exports.distances(prefix, "best")
            values += [fmean(found.values())] if found else []
    return values


def _of_study(gate: str, goal: str) -> Answer:
    return Answer(
        gate=gate, passed=False, got="a directory of `ss3d train`, which has no study",
        expected=goal, advice=f"promote a trial of a study, {_FORCE}",
    )  # fmt: skip
