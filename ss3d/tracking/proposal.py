"""A candidate before the gates: compared with the champion, measured, nothing written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ss3d.errors import CheckpointError, RefusedError
from ss3d.model.efficiency import measure_latency, measure_memory
from ss3d.report.challenge import Challenge, Measured, challenge, parse_measured
from ss3d.report.previews import read_previews
from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.tracking import evidence
from ss3d.tracking.candidate import Candidate
from ss3d.tracking.evidence import Case
from ss3d.tracking.gates import Gates
from ss3d.tracking.ledger import Answer, Entry, Ledger, read_ledger
from ss3d.trial.export import load_network

_BUDGET_S = 5.0
"""Of timing one image."""


@dataclass(frozen=True)
class Proposal:
    """What would be promoted, over whom, and what the gates say."""

    candidate: Candidate
    ledger: Ledger
    """As it was when gates were asked: no other entry may come before ours."""
    challenge: Challenge | None
    """None if there is no champion whose measurements are known."""
    answers: tuple[Answer, ...]

    @property
    def closed(self) -> list[Answer]:
        """Return the gates that do not let the candidate through."""
        return [answer for answer in self.answers if not answer.passed]

    @property
    def is_champion(self) -> bool:
        """Return whether it is the champion already: then there is nothing to compare or to ask."""
        return _is_champion(self.ledger, self.candidate)

    def check(self) -> None:
        """Refuse if a gate is closed.

        Raises:
            RefusedError: names all that are, and what to do.
        """
        if self.closed:
            lines = [f"{a.gate}: {a.got}; expected {a.expected}; {a.advice}" for a in self.closed]
            count = f"{len(lines)} of {len(self.answers)} gates are closed"
            raise RefusedError("\n  ".join([f"{self.candidate.origin}: {count}", *lines]))


def propose(store: Store, candidate: Candidate, model: str | None, gates: Gates) -> Proposal:
    """Compare a candidate with a model's champion and ask the gates; nothing is written.

    Args:
        store: of ledger, confirmations and reruns.
        candidate: a trained network.
        model: registered model; None for a candidate that will stand alone.
        gates: to ask.

    Raises:
        ConfigError: the model's name is not valid.
        CheckpointError: the ledger or a record is damaged.
    """
    ledger = Ledger("", 0, ()) if model is None else read_ledger(store, model)
    if _is_champion(ledger, candidate):
        return Proposal(candidate, ledger, None, ())
    champion = None if ledger.head is None else champion_measured(store, ledger.head)
    found = None
    if champion is not None:
        previews = read_previews(candidate.best)
        names = [previews.names.get(category, category) for category in previews.categories]
        categories = dict(zip(previews.ids, names, strict=True))
        found = challenge(champion, candidate.measured, categories)
    case = Case(store, candidate, ledger.head, found, gates.margin or 0.0)
    wanted = gates.model_dump(exclude_none=True)
    answers = [_ASK[name](case, limit) for name, limit in wanted.items() if limit is not False]
    return Proposal(candidate, ledger, found, tuple(answers))


def champion_measured(store: Store, entry: Entry) -> Measured | None:
    """Return what was measured of a champion when it was promoted; None if it was not kept.

    Raises:
        CheckpointError: the record is damaged.
    """
    if not entry.metrics_sha256:  # one of the oldest entries
        return None
    key = layout.promoted_metrics(entry.model, entry.metrics_sha256)
    blob = store.get(key)
    if blob is None:
        return None
    if hashlib.sha256(blob.data).hexdigest() != entry.metrics_sha256:
        raise CheckpointError(f"{key}: what version {entry.version} measured is damaged")
    return parse_measured(blob.data, key)


def _is_champion(ledger: Ledger, candidate: Candidate) -> bool:
    head = ledger.head
    return (
        head is not None
        and head.origin == candidate.origin
        and head.weights_sha256 == candidate.measured.weights_sha256
    )


def _margin(case: Case, margin: float) -> Answer:
    goal = f"a gain >= {margin:g} of cd_l1, its interval above 0, on the champion's models"
    if case.champion is None:
        return Answer(gate="margin", passed=True, got="there is no champion yet", expected=goal)
    gain = case.challenge.gain if case.challenge else None
    if gain is None:
        advice = "measure both on one data set, or --force with a --reason"
        got = case.not_comparable
        return Answer(gate="margin", passed=False, got=got, expected=goal, advice=advice)
    passed = gain.mean >= margin and gain.verdict == "better"
    return Answer(
        gate="margin",
        passed=passed,
        got=f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), {gain.num_models} models",
        expected=goal,
        advice="" if passed else "search on, or --force with a --reason",
    )


def _most_mib(case: Case, limit: float) -> Answer:
    network, config = load_network(case.candidate.best, torch.device("cpu"))
    side = config.data.image_size
    peak = measure_memory(network, torch.zeros(1, 3, side, side)) / 2**20
    return _within("most_mib", peak, limit, "MiB")


def _most_latency_ms(case: Case, limit: float) -> Answer:
    device = torch.device("cpu")
    network, config = load_network(case.candidate.best, device)
    image = torch.zeros(1, 3, config.data.image_size, config.data.image_size)
    seconds, runs = measure_latency(lambda: network(image), device, _BUDGET_S)
    note = f"ms, median of {runs}, {torch.get_num_threads()} threads"
    return _within("most_latency_ms", 1000 * seconds, limit, note)


def _within(gate: str, value: float, limit: float, unit: str) -> Answer:
    passed = value <= limit
    return Answer(
        gate=gate, passed=passed, got=f"{value:.1f} {unit}", expected=f"at most {limit:g}",
        advice="" if passed else "promote a smaller network, or --force with a --reason",
    )  # fmt: skip


_ASK: dict[str, Callable[[Case, Any], Answer]] = {
    "margin": _margin,
    "confirmed_seeds": evidence.confirmed,
    "clean_lineage": evidence.clean_lineage,
    "rerun": evidence.rerun,
    "most_mib": _most_mib,
    "most_latency_ms": _most_latency_ms,
    "read_test_once": evidence.read_test_once,
}
"""By the field of `Gates`."""
