"""Which meshes a folder holds: one per model, by category."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ss3d.data.files import Files
from ss3d.data.mesh_file import is_mesh, mesh_formats
from ss3d.data.shapenet_split import NAMES, Entry, Listing, list_by_file, split_by_rule
from ss3d.errors import DataError

_PREFERRED = ("model", "model_normalized")
"""Names of a model's mesh among several, as ShapeNet's archives have them."""


@dataclass(frozen=True)
class MeshFolder:
    """The models of a folder and what is taken of them."""

    files: Files
    meshes: dict[str, tuple[str, ...]]
    """`<category>/<model>` to the meshes that may be meant, the best first."""
    listing: Listing

    def mesh(self, key: str) -> str:
        """Return the name of a model's mesh.

        Raises:
            DataError: there is none, or it is not clear which is meant.
        """
        found = self.meshes.get(key, ())
        if not found:
            raise DataError(f"{self.files.root / key}: the split names it, but there is no mesh")
        chosen = [name for name in found if _stem(name) in (posixpath.basename(key), *_PREFERRED)]
        if len(found) > 1 and len(chosen) != 1:
            raise DataError(
                f"{self.files.root / key}: which of {', '.join(found[:4])} is the model?"
            )
        return (chosen if len(found) > 1 else found)[0]


def open_meshes(root: Path, split_file: Path | None) -> MeshFolder:
    """Look for `<category>/<model>.<format>` and `<category>/<model>/…/<any>.<format>`.

    Args:
        root: folder, which may hold zip archives, or one zip archive.
        split_file: as in ShapeNet's importer; None splits by rule.

    Raises:
        DataError: there is no mesh, or the split file is damaged.
    """
    files = Files(root)
    meshes: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for name in filter(is_mesh, files.names):
        category, *rest = name.split("/")
        if rest:
            model = _stem(name) if len(rest) == 1 else rest[0]
            meshes[f"{category}/{model}"] += (name,)
    if not meshes:
        raise DataError(
            f"{root}: no mesh found; expected <category>/<model>.obj or <category>/<model>/*.obj "
            f"in one of the formats {', '.join(sorted(mesh_formats()))}"
        )
    listing = _list_by_rule(list(meshes)) if split_file is None else list_by_file(split_file)
    return MeshFolder(files, dict(meshes), listing)


def _list_by_rule(keys: list[str]) -> Listing:
    """Split the models of each category 70/10/20 in the order of their names."""
    models: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        category, model = key.split("/")
        models[category].append(model)
    entries: list[Entry] = []
    for category in sorted(models):
        split = split_by_rule(models[category])
        entries += [Entry(category, model, split[model]) for model in sorted(split)]
    names = {category: NAMES.get(category, category) for category in sorted(models)}
    return Listing(names, tuple(entries))


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]
