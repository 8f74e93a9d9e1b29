"""What trials share in the store: pretrained states and controls, who uses them, what can go.

A trial's spec.json is its reference, also while its study is half deleted. What any trial refers to
is never removed: an unfinished state is where an interrupted study goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ss3d.errors import CheckpointError, ConfigError, ConflictError, RefusedError
from ss3d.store import layout
from ss3d.store.bundle import MANIFEST, read_manifest
from ss3d.store.layout import SHARED_KINDS, SharedKind
from ss3d.store.lease import is_held, take_lease
from ss3d.store.protocol import Store
from ss3d.trial.history import is_complete, load_shared_record, shared_export, why_failed
from ss3d.trial.records import SharedRecord, TrialSpec

SharedStatus = Literal["complete", "running", "failed", "unfinished", "damaged"]


@dataclass(frozen=True)
class SharedItem:
    """A pretrained state or a control, as far as it got."""

    kind: SharedKind
    key: str
    state: SharedStatus
    """`running`: a driver holds its lease. `failed`: nobody tries it again until it is retried.
    `unfinished`: goes on when a study needs it."""
    reason: str
    """Why it failed; empty otherwise."""
    cd_l1: float | None
    """val/cd_l1 of what trials start from: the best epoch of a pretraining, the last of a control.
    None if no reports are known."""
    seconds: float
    num_bytes: int
    unread_bytes: int
    """Of them, those of checkpoints of what is complete, and of exports that its manifest does not
    name: another attempt was faster."""
    users: tuple[str, ...]
    """Trials that refer to it, as `study/t00017`."""

    @property
    def is_garbage(self) -> bool:
        """Return whether nothing refers to it and nobody makes it."""
        return not self.users and self.state != "running"


def list_shared(store: Store) -> list[SharedItem]:
    """Return all pretrained states and controls in the store, in order of their keys.

    Raises:
        CheckpointError: a trial's spec.json is damaged, so that its references are unknown.
    """
    users = references(store)
    return [
        _item(store, kind, key, keys, users.get((kind, key), ()))
        for kind in SHARED_KINDS
        for key, keys in _by_key(store, kind).items()
    ]


def find_shared(store: Store, start: str) -> SharedItem:
    """Return the pretrained state or control whose key starts with a text.

    Raises:
        ConfigError: none does, or several do.
        CheckpointError: a trial's spec.json is damaged.
    """
    found = [
        (kind, key, keys)
        for kind in SHARED_KINDS
        for key, keys in _by_key(store, kind).items()
        if key.startswith(start)
    ]
    if len(found) != 1:
        words = f"{len(found)} keys start with it" if found else "no key starts with it"
        raise ConfigError(f"key: got {start!r}, {words}; `ss3d pretrains list` shows all")
    kind, key, keys = found[0]
    return _item(store, kind, key, keys, references(store).get((kind, key), ()))


def references(store: Store) -> dict[tuple[SharedKind, str], tuple[str, ...]]:
    """Return the trials that refer to each pretrained state and control.

    Raises:
        CheckpointError: a spec.json is damaged.
    """
    users: dict[tuple[SharedKind, str], tuple[str, ...]] = {}
    for key in store.list("studies/"):
        parts = key.split("/")
        if parts[2:3] != ["trials"] or parts[4:] != ["spec.json"]:
            continue
        blob = store.get(key)
        if blob is None:
            continue  # deleted meanwhile
        try:
            spec = TrialSpec.from_json(blob.data)
        except CheckpointError as error:
            raise CheckpointError(f"{key}: {error}") from error
        for pair in spec.shared():
            users[pair] = (*users.get(pair, ()), f"{parts[1]}/{parts[3]}")
    return users


def collect_garbage(store: Store, items: Iterable[SharedItem]) -> list[SharedItem]:
    """Remove pretrained states and controls that are garbage; return those that are gone.

    First they stop being complete, then references are read again: a trial that was sealed before
    has its state back, one that is sealed later finds none and makes it, or is making it already:
    then its driver holds the lease. Of the others go checkpoints and exports that nobody reads.

    Args:
        store: where they are.
        items: as `list_shared` found them.

    Raises:
        CheckpointError: a trial's spec.json is damaged.
    """
    known = list(items)
    doomed = [item for item in known if item.is_garbage]
    manifests = {item.key: _take_manifest(store, item) for item in doomed}
    users = references(store)
    gone: list[SharedItem] = []
    for item in doomed:
        manifest = manifests[item.key]
        if (item.kind, item.key) not in users:
            gone += [item] if _remove(store, item) else []
        elif manifest is not None:
            with suppress(ConflictError):
                store.put_new(layout.shared(item.kind, item.key, MANIFEST), manifest)
    for item in known:
        if item.unread_bytes and not item.is_garbage:
            keys = list(store.list(layout.shared(item.kind, item.key) + "/"))
            delete_keys(store, _unread(store, item.kind, item.key, keys))
    return gone


def retry_failed(store: Store, item: SharedItem) -> None:
    """Forget why a pretrained state or control failed, so that the next study tries it again.

    Raises:
        RefusedError: it did not fail.
    """
    if item.state != "failed":
        raise RefusedError(
            f"{item.kind} {item.key[:12]} is {item.state}; only what failed can be tried again"
        )
    store.delete(layout.shared(item.kind, item.key, "failed.json"))


def delete_keys(store: Store, keys: Sequence[str]) -> None:
    """Remove objects, the manifests of bundles first: no reader trusts what is half gone."""
    for key in sorted(keys, key=lambda key: not key.endswith(f"/{MANIFEST}")):
        store.delete(key)


def total_bytes(store: Store, keys: Sequence[str]) -> int:
    """Return the size of objects; files of bundles are not read, their manifests know."""
    sizes: dict[str, int] = {}
    for key in keys:
        prefix, _, name = key.rpartition("/")
        if name == MANIFEST:
            with suppress(CheckpointError):
                entries = read_manifest(store, prefix)
                sizes |= {f"{prefix}/{entry['name']}": entry["size"] for entry in entries}
    return sum(sizes[key] if key in sizes else _size(store, key) for key in keys)


def _remove(store: Store, item: SharedItem) -> bool:
    """Remove all of a key unless a driver makes it, or has made it again; return whether it went.

    Its lease is ours meanwhile and goes last, so that no driver begins in the middle.
    """
    prefix = layout.shared(item.kind, item.key)
    lease = f"{prefix}/lease"
    try:
        with take_lease(store, lease, f"{item.kind} {item.key[:12]}"):
            if is_complete(store, item.kind, item.key):
                return False
            delete_keys(store, [key for key in store.list(f"{prefix}/") if key != lease])
            store.delete(lease)
    except RefusedError:
        return False
    return True


def _unread(store: Store, kind: SharedKind, key: str, keys: Sequence[str]) -> list[str]:
    """Return, of what is complete, checkpoints and the exports of attempts that lost."""
    if not is_complete(store, kind, key):
        return []
    ours = tuple(layout.shared(kind, key, part) + "/" for part in ("checkpoint", "checkpoints"))
    read = shared_export(store, kind, key) + "/"
    return [name for name in keys if name.startswith(ours) and not name.startswith(read)]


def _size(store: Store, key: str) -> int:
    blob = store.get(key)
    return len(blob.data) if blob else 0


def _by_key(store: Store, kind: SharedKind) -> dict[str, list[str]]:
    """Return the objects of each pretrained state or control."""
    found: dict[str, list[str]] = {}
    for name in store.list(f"{kind}s/"):
        _, _, key, *_ = name.split("/")
        found.setdefault(key, []).append(name)
    return found


def _item(
    store: Store, kind: SharedKind, key: str, keys: list[str], users: tuple[str, ...]
) -> SharedItem:
    record: SharedRecord | None = None
    state: SharedStatus = "damaged"
    reason, unread = "", list[str]()
    with suppress(CheckpointError, ConfigError):
        reason, unread = why_failed(store, kind, key), _unread(store, kind, key, keys)
        record = load_shared_record(store, kind, key)
        is_made = record is not None and record.complete
        state = "complete" if is_made else "failed" if reason else "unfinished"
    if state != "complete" and is_held(store, layout.shared(kind, key, "lease")):
        state = "running"
    return SharedItem(
        kind=kind,
        key=key,
        state=state,
        reason=reason if state == "failed" else "",
        cd_l1=_value(record),
        seconds=record.seconds if record else 0.0,
        num_bytes=total_bytes(store, keys),
        unread_bytes=total_bytes(store, unread),
        users=users,
    )


def _value(record: SharedRecord | None) -> float | None:
    """Return val/cd_l1 of what trials start from, or of a control's end."""
    if record is None:
        return None
    values = [r.metrics["val/cd_l1"] for r in record.reports if "val/cd_l1" in r.metrics]
    if not values:
        return None
    return min(values) if record.kind == "pretrain" else values[-1]


def _take_manifest(store: Store, item: SharedItem) -> bytes | None:
    """Remove what says that all is there; return it."""
    key = layout.shared(item.kind, item.key, MANIFEST)
    blob = store.get(key)
    store.delete(key)
    return blob.data if blob else None
