"""What a configuration takes of a data set: categories by id or name, masks or whole photos."""

from __future__ import annotations

from collections.abc import Sequence

from ss3d.data.manifest import Manifest
from ss3d.errors import DataError


def select_categories(manifest: Manifest, wanted: Sequence[str] | None) -> dict[str, str]:
    """Return synset id to name of the categories that are wanted by id or name.

    Raises:
        DataError: there is no such category, or none is wanted.
    """
    if wanted is None:
        return dict(manifest.categories)
    by_name = {name.lower(): synset for synset, name in manifest.categories.items()}
    chosen = {}
    for word in wanted:
        synset = word if word in manifest.categories else by_name.get(word.lower())
        if synset is None:
            raise DataError(f"data.categories: got {word!r}, {_describe(manifest)}")
        chosen[synset] = manifest.categories[synset]
    if not chosen:
        raise DataError(f"data.categories: got none, {_describe(manifest)}")
    return dict(sorted(chosen.items()))


def is_opaque(manifest: Manifest, use_mask: bool) -> bool:
    """Tell whether images are shown as they are: photos, unless their masks are to be used.

    Raises:
        DataError: masks are to be used and there are none.
    """
    if use_mask and manifest.alpha != "mask":
        raise DataError(
            f"data.use_mask: the images of {manifest.name!r} have no object masks (renderings are "
            "always put over the background); set it to false"
        )
    return manifest.alpha == "mask" and not use_mask


def _describe(manifest: Manifest) -> str:
    """Return what is there, for errors."""
    listed = ", ".join(f"{name} ({synset})" for synset, name in manifest.categories.items())
    return f"the data set {manifest.name!r} has {listed}"
