"""Files by name below a root that may be a folder or an archive: what ShapeNet is read through."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from ss3d.data.files import Files, check_inside
from ss3d.errors import DataError

P = TypeVar("P")


class Tree(Protocol):
    """Names are relative to the root, with forward slashes."""

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies right in a folder, sorted; none if it is not there."""
        ...

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a file."""
        ...

    def size(self, name: str) -> int:
        """Return the bytes of a file.

        Raises:
            DataError: there is no such file.
        """
        ...

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the bytes of a file, or the first of them.

        Raises:
            DataError: there is no such file, it is damaged or too large; names it.
        """
        ...

    def describe(self, name: str) -> str:
        """Return where a file lies, for errors."""
        ...


class FolderTree:
    """A folder, of which nothing is listed before it is asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies right in a folder, sorted; none if it is not there."""
        path = self.root / folder
        return sorted(child.name for child in path.iterdir()) if path.is_dir() else []

    def __contains__(self, name: str) -> bool:
        return (self.root / name).is_file()

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        try:
            return (self.root / name).stat().st_size
        except OSError as error:
            raise self._fault(name, error) from error

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the bytes of a file, or the first of them."""
        try:
            with (self.root / name).open("rb") as file:
                return file.read(-1 if limit is None else limit)
        except OSError as error:
            raise self._fault(name, error) from error

    def describe(self, name: str) -> str:
        """Return where a file lies, for errors."""
        return str(self.root / name)

    def _fault(self, name: str, error: OSError) -> DataError:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "there is no such file" if missing else f"cannot be read: {error.strerror}"
        return DataError(f"{self.describe(name)}: {reason}")


class Contents(Generic[P]):
    """Which files of ShapeNet's layout an archive holds, whatever folder they were packed in.

    Args:
        archive: for errors.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self._folders: dict[str, dict[str, P | None]] = {}
        self._roots: dict[int, str] = {}

    def add_folder(self, name: str) -> None:
        """Add a folder and those it lies in."""
        parent, _, own = name.rpartition("/")
        if own not in self._folders.setdefault(parent, {}):
            self._folders[parent][own] = None
            if parent:
                self.add_folder(parent)

    def add(self, name: str, place: P) -> None:
        """Add a file, or put it in the place of an earlier one of that name."""
        folder, _, own = name.rpartition("/")
        self.add_folder(folder)
        self._folders.setdefault(folder, {})[sys.intern(own)] = place  # "00.png" is in each model

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies right in a folder, sorted."""
        return sorted(self._folders.get(folder, ()))

    def __contains__(self, name: str) -> bool:
        folder, _, own = name.rpartition("/")
        return self._folders.get(folder, {}).get(own) is not None

    def place(self, name: str) -> P:
        """Return what was added with a file.

        Raises:
            DataError: there is no such file.
        """
        folder, _, own = name.rpartition("/")
        place = self._folders.get(folder, {}).get(own)
        if place is None:
            raise DataError(f"{self.archive / name}: there is no such file")
        return place

    def inner_name(self, member: str) -> str | None:
        """Return a member's name in ShapeNet's layout; None if it is no part of it.

        `<any>/<synset>/<model>/rendering/<file>` and `<any>/<synset>/<file>.npy` are. A leading
        folder `<any>` is dropped and has to be one for all renderings, and one for all clouds.

        Raises:
            DataError: the member's path leaves the archive, or there are two leading folders.
        """
        check_inside(self.archive, member)
        parts = [part for part in member.split("/") if part not in ("", ".")]
        depth = _depth(parts)
        if depth == 0:
            return None
        root = "/".join(parts[:-depth])
        if self._roots.setdefault(depth, root) != root:
            raise DataError(
                f"{self.archive}: got files below {self._roots[depth] or '.'!r} and below "
                f"{root or '.'!r}, expected one such folder; unpack the archive and name the folder"
            )
        return "/".join(parts[-depth:])


class ZipTree:
    """A zip archive, read in place.

    Raises:
        DataError: it is broken, or not of ShapeNet's layout.
    """

    def __init__(self, path: Path) -> None:
        self._files = Files(path)
        self._contents: Contents[str] = Contents(path)
        for member in self._files.names:
            if (name := self._contents.inner_name(member)) is not None:
                self._contents.add(name, member)

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies right in a folder, sorted; none if it is not there."""
        return self._contents.names(folder)

    def __contains__(self, name: str) -> bool:
        return name in self._contents

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        return self._files.size(self._contents.place(name))

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the bytes of a file, or the first of them."""
        return self._files.read(self._contents.place(name), limit)

    def describe(self, name: str) -> str:
        """Return where a file lies, for errors."""
        return str(self._contents.archive / name)


def _depth(parts: list[str]) -> int:
    """Return how many of the last parts of a name belong to ShapeNet's layout."""
    if not parts or "__MACOSX" in parts or parts[-1].startswith("._"):
        return 0
    if len(parts) >= 4 and parts[-2] == "rendering":
        return 4
    return 2 if len(parts) >= 2 and parts[-1].endswith(".npy") else 0
