"""The thread that proposes: asks the sampler, computes keys, seals spec.json, fills the board."""

from __future__ import annotations

import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from ss3d.store import layout
from ss3d.store.protocol import Store
from ss3d.study.background import Background
from ss3d.study.board import Board
from ss3d.study.enqueued import ENTRY, QueueEntry, WaitingPoints, used
from ss3d.study.patience import patiently, put_once
from ss3d.study.proposals import Proposal, propose
from ss3d.trial.history import is_complete
from ss3d.trial.records import TrialSpec
from ss3d.trial.spec import code_version, control_key, pretrain_key, versions

_POLL_S = 1.0


class Proposer(Background):
    """Keeps one trial more on the board than workers can take.

    So with one slot, trial n is proposed when trial n - 2 is told, as if n - 1 were running: always
    from the same knowledge.

    Args:
        board: takes the trials.
        store: takes their specs, before they start.
        study: the study's name.
        data_hash: of the data set.
        earlier: trials of other studies to learn from.
    """

    def __init__(
        self,
        board: Board,
        store: Store,
        study: str,
        data_hash: str,
        earlier: Sequence[FrozenTrial] = (),
    ) -> None:
        super().__init__("proposer")
        self._board = board
        self._store = store
        self._study = study
        self._data_hash = data_hash
        self._earlier = tuple(earlier)
        self._waiting = WaitingPoints(store, study, board.space)

    def close(self) -> None:
        """Stop after the trial that is being sealed."""
        self._ended.set()
        with self._board.changed:
            self._board.changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.is_set():
            number = self._board.next_number()
            if number is None:
                with self._board.changed:
                    self._board.changed.wait(_POLL_S)
            else:
                self._propose(number)

    def _propose(self, number: int) -> None:
        space = self._board.space
        history = [*self._earlier, *self._board.history()]
        entry = None if space.point(number) else self._oldest(number)
        proposal = propose(space, history, number, entry.point if entry else None)
        spec = self._seal(number, proposal, entry)
        key = layout.trial(self._study, spec.trial, "spec.json")
        patiently(lambda: put_once(self._store, key, spec.to_json()), self._ended)
        ready = patiently(lambda: ready_keys(self._store, spec), self._ended)
        self._board.add(spec, ready)

    def _oldest(self, number: int) -> QueueEntry | None:
        """Return the point that waits for this trial."""
        with self._board.changed:
            done = used(entry.spec for entry in self._board.trials.values())
        stratum = self._board.space.stratum(number)
        return patiently(lambda: self._waiting.oldest(stratum, done), self._ended)

    def _seal(self, number: int, proposal: Proposal, entry: QueueEntry | None) -> TrialSpec:
        space = self._board.space
        origin = {ENTRY: entry.number} if entry else {}
        config = space.configure(proposal.params)
        return TrialSpec(
            study=self._study,
            trial=layout.trial_id(number),
            params=proposal.params,
            distributions=proposal.distributions,
            stratum=space.stratum(number),
            config=config,
            pretrain_key=pretrain_key(config, self._data_hash),
            control_key=control_key(config, self._data_hash) if space.controls else "",
            code_version=code_version(),
            data_hash=self._data_hash,
            versions=versions(),
            attrs={"internal": proposal.internal, "system": proposal.system_attrs, **origin},
            proposed_at=time.time(),
        )


def ready_keys(store: Store, spec: TrialSpec) -> set[str]:
    """Return which of a trial's pretrained state and control are complete in the store."""
    return {key for kind, key in spec.shared() if is_complete(store, kind, key)}
