"""Which images a prediction reads, with which masks, and where their clouds go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ss3d.errors import ConfigError, DataError

CloudFormat = Literal["ply", "npy"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".tga")
"""Files of a folder that are read as images."""


@dataclass(frozen=True)
class Work:
    """One image to reconstruct."""

    image: Path
    cloud: Path
    """To write."""
    mask: Path | None


def list_work(
    images: list[Path], masks: Path | None, output: Path, cloud_format: CloudFormat
) -> tuple[list[Work], list[Path]]:
    """Return what to reconstruct in order, and the files of folders that are no images.

    Folders are searched with all that they hold; their clouds, and the masks in the folder of
    masks, have the same relative path with another suffix.

    Args:
        images: files and folders.
        masks: a file for one image, else a folder.
        output: a `.ply` or `.npy` file for one image, else a folder.
        cloud_format: of the clouds in a folder.

    Raises:
        ConfigError: several images and one file.
        DataError: a folder holds no image.
    """
    found, skipped = _find(images)
    _check_output(output, len(found), any(image.is_dir() for image in images))
    _check_masks(masks, len(found))
    is_file = bool(output.suffix) and not output.is_dir()
    taken: set[Path] = set()
    work: list[Work] = []
    for image, relative in found:
        cloud = output if is_file else _free(output / relative, cloud_format, taken)
        work.append(Work(image, cloud, _mask(masks, relative)))
    return work, skipped


def _find(images: list[Path]) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return images with their paths below the output, and skipped files."""
    found: list[tuple[Path, Path]] = []
    skipped: list[Path] = []
    for path in images:
        if not path.is_dir():
            found.append((path, Path(path.name)))
            continue
        files = sorted(file for file in path.rglob("*") if file.is_file())
        kept = [file for file in files if _is_image(file)]
        if not kept:
            raise DataError(
                f"{path}: holds no image among {len(files)} files; read are {', '.join(SUFFIXES)}"
            )
        found += [(file, file.relative_to(path)) for file in kept]
        skipped += [file for file in files if not _is_image(file)]
    return found, skipped


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _check_output(output: Path, count: int, has_folder: bool) -> None:
    if output.is_dir() or not output.suffix:
        return
    if output.suffix not in (".ply", ".npy"):
        raise ConfigError(f"--output: got {output}, expected .ply, .npy or a folder")
    if count > 1 or has_folder:
        what = f"{count} images" if count > 1 else "a folder of images"
        raise ConfigError(f"--output: got the file {output} for {what}; name a folder")


def _check_masks(masks: Path | None, count: int) -> None:
    if masks is None or masks.is_dir():
        return
    if not masks.is_file():
        raise ConfigError(f"--mask: there is no file or folder {masks}")
    if count > 1:
        raise ConfigError(f"--mask: got the file {masks} for {count} images; name a folder")


def _mask(masks: Path | None, relative: Path) -> Path | None:
    """Return the mask of an image; where there is none, the path that reading it will name."""
    if masks is None or masks.is_file():
        return masks
    wanted = masks / relative
    others = (wanted.with_suffix(suffix) for suffix in SUFFIXES)
    return next((path for path in (wanted, *others) if path.is_file()), wanted)


def _free(path: Path, cloud_format: CloudFormat, taken: set[Path]) -> Path:
    """Return the path of a cloud, numbered where two images have one name, and take it."""
    cloud, number = path.with_suffix(f".{cloud_format}"), 2
    while cloud in taken:
        cloud, number = path.with_name(f"{path.stem}-{number}.{cloud_format}"), number + 1
    taken.add(cloud)
    return cloud
