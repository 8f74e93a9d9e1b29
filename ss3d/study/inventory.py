"""What trials share in the store: pretrained states and controls, who uses them, what can go.

A trial's spec.json is its reference, also while its study is half deleted. What any trial refers to
is never removed: an unfinished state is where an interrupted study goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ss3d.errors import CheckpointError, ConfigError, ConflictError
from ss3d.store import layout
from ss3d.store.bundle import MANIFEST, read_manifest
from ss3d.store.layout import SHARED_KINDS, SharedKind
from ss3d.store.lease import is_held
from ss3d.store.protocol import Store
from ss3d.trial.history import load_shared_record
from ss3d.trial.records import SharedRecord, TrialSpec

SharedStatus = Literal["complete", "running", "failed", "unfinished", "damaged"]


@dataclass(frozen=True)
class SharedItem:
    """A pretrained state or a control, as far as it got."""

    kind: SharedKind
    key: str
    state: SharedStatus
    """`failed` left a log, `unfinished` did not; neither is being made now."""
    cd_l1: float | None
    """val/cd_l1 of what trials start from: the best epoch of a pretraining, the last of a control.
    None if no reports are known."""
    seconds: float
    num_bytes: int
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
    has its state back, one that is sealed later finds none and makes it.

    Args:
        store: where they are.
        items: as `list_shared` found them; those that are no garbage are left alone.

    Raises:
        CheckpointError: a trial's spec.json is damaged.
    """
    doomed = [item for item in items if item.is_garbage]
    manifests = {item.key: _take_manifest(store, item) for item in doomed}
    users = references(store)
    gone = []
    for item in doomed:
        manifest = manifests[item.key]
        if (item.kind, item.key) not in users:
            keys = list(store.list(layout.shared(item.kind, item.key) + "/"))
            delete_keys(store, keys)
            gone.append(item)
        elif manifest is not None:
            with suppress(ConflictError):
                store.put_new(layout.shared(item.kind, item.key, MANIFEST), manifest)
    return gone


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
    try:
        record = load_shared_record(store, kind, key)
    except (CheckpointError, ConfigError):
        record, is_damaged = None, True
    else:
        is_damaged = False
    return SharedItem(
        kind=kind,
        key=key,
        state=_status(store, layout.shared(kind, key), keys, users, is_damaged),
        cd_l1=_value(record),
        seconds=record.seconds if record else 0.0,
        num_bytes=total_bytes(store, keys),
        users=users,
    )


def _status(
    store: Store, prefix: str, keys: list[str], users: tuple[str, ...], is_damaged: bool
) -> SharedStatus:
    is_complete = f"{prefix}/{MANIFEST}" in keys
    leases = [key for key in keys if key.endswith("lease")]
    studies = dict.fromkeys(user.partition("/")[0] for user in users)
    leases += [layout.study(study, "driver.lease") for study in studies]
    if not is_complete and any(is_held(store, lease) for lease in leases):
        return "running"
    if is_damaged or is_complete:
        return "damaged" if is_damaged else "complete"
    return "failed" if any(key.startswith(f"{prefix}/log/") for key in keys) else "unfinished"


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
