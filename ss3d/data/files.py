"""Files of a data set as it was published: in a folder, in zip archives, never unpacked."""

from __future__ import annotations

import posixpath
import zlib
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from ss3d.errors import DataError

MAX_BYTES = 512 * 2**20
"""A larger file is refused: zip archives can hold bombs."""


class Files:
    """The files below a folder, those in zip archives at its top included; or of one archive.

    Names are relative, with forward slashes, as if the archives were unpacked where they lie.
    An instance travels to other processes; each opens its own archives.

    Args:
        root: folder or zip archive.

    Raises:
        DataError: there is no such folder, or an archive is broken or has a path that leaves it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths: dict[str, Path] = {}
        self._members: dict[str, Path] = {}
        if root.is_dir():
            paths = sorted(path for path in root.rglob("*") if path.is_file())
            self._paths = {path.relative_to(root).as_posix(): path for path in paths}
            archives = [path for path in paths if _is_top_archive(path, root)]
        elif root.is_file():
            archives = [root]
        else:
            raise DataError(f"{root}: there is no such folder or zip archive")
        for archive in archives:
            names = [info.filename for info in _open_archive(archive).infolist()]
            for name in names:
                check_inside(archive, name)
            self._members |= {name: archive for name in names if not name.endswith("/")}

    @cached_property
    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        return sorted({*self._paths, *self._members})

    def __contains__(self, name: str) -> bool:
        return name in self._paths or name in self._members

    def size(self, name: str) -> int:
        """Return the bytes of a file once unpacked."""
        if name in self._paths:
            return self._paths[name].stat().st_size
        return self._archives[self._members[name]].getinfo(name).file_size

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the bytes of a file, or the first of them.

        Raises:
            DataError: there is no such file, it is damaged or too large; names it.
        """
        if name not in self:
            raise DataError(f"{self.describe(name)}: there is no such file")
        if (size := self.size(name)) > MAX_BYTES:
            raise DataError(
                f"{self.describe(name)}: got {size} bytes, expected at most {MAX_BYTES}"
            )
        try:
            with self._open(name) as file:
                return file.read(-1 if limit is None else limit)
        except (OSError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
            raise DataError(f"{self.describe(name)}: cannot be read: {error}") from error

    def beside(self, name: str, reference: str) -> str:
        """Return the name of the file that a file refers to, relative to its own folder."""
        return posixpath.normpath(
            posixpath.join(posixpath.dirname(name), reference.strip().replace("\\", "/"))
        )

    def describe(self, name: str) -> str:
        """Return where a file lies, for errors."""
        return str(self._members.get(name, self.root) / name)

    def _open(self, name: str) -> IO[bytes]:
        if name in self._paths:
            return self._paths[name].open("rb")
        return self._archives[self._members[name]].open(name)

    @cached_property
    def _archives(self) -> dict[Path, ZipFile]:
        return {path: _open_archive(path) for path in set(self._members.values())}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_archives"}


def check_inside(archive: Path, member: str) -> None:
    """Check a member's path.

    Raises:
        DataError: it leaves the folder that the archive would be unpacked in.
    """
    path = member.replace("\\", "/")
    if path.startswith("/") or ".." in path.split("/"):
        raise DataError(
            f"{archive}: got the member {member!r}, expected paths inside the archive; do not "
            "unpack it, and fetch it again from its publisher"
        )


def _is_top_archive(path: Path, root: Path) -> bool:
    """Tell whether this is a zip archive right in the folder."""
    return path.parent == root and path.suffix.lower() == ".zip"


def _open_archive(path: Path) -> ZipFile:
    """Open a zip archive."""
    try:
        return ZipFile(path)
    except (OSError, BadZipFile) as error:
        raise DataError(
            f"{path}: not a readable zip archive: {error}; expected a folder or a .zip; if it was "
            "cut short, compare its size with the publisher's, or fetch it again"
        ) from error
