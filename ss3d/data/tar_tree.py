"""Tar archives of ShapeNet's layout, read once from start to end and never unpacked."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self, cast

from ss3d.data.cache import Progress
from ss3d.data.files import MAX_BYTES
from ss3d.data.tree import Contents
from ss3d.errors import DataError

MIB = 2**20
MAX_RATIO, FREE_BYTES = 100, 2**30
"""An archive that unfolds to more than so many times its bytes, and as many more, is refused:
pictures and clouds hardly shrink."""
MAX_HEADER = MIB
"""Of a name or other fields before a member; tarfile holds them in memory."""
_FIELDS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_HAS_MORE_HOLES = 482
"""Byte of an old GNU header that says that a list of holes goes on, however long, behind it."""
_OPENERS: dict[bytes, Callable[[IO[bytes]], object]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\0": lzma.open,
    b"BZh": bz2.open,
}
"""By the first bytes of a compressed file."""


class TarTree:
    """A tar archive, compressed or not; a context manager.

    A compressed one can only be read from its start, and its order need not be that of the data
    set: in the one pass over it, the files that are wanted are put one after the other into a
    nameless temporary file (in TMPDIR), which is gone when the tree is closed. An uncompressed one
    is read in place. In memory is an index of the files, no file.

    Args:
        path: of the archive.
        wanted: tells by its name whether a file will be read.
        progress: called with MiB of the archive read, and in all.

    Raises:
        DataError: the archive is broken or cut short, has a path that leaves it, or there is no
            room for the temporary file.
    """

    def __init__(
        self, path: Path, wanted: Callable[[str], bool], progress: Progress | None = None
    ) -> None:
        self.path = path
        self._contents: Contents[tuple[int, int]] = Contents(path)
        self._wanted = wanted
        self._member = ""
        with ExitStack() as stack:
            try:
                raw = stack.enter_context(path.open("rb"))
                self._file: IO[bytes] = raw
                self._read_all(raw, stack, progress)
            except (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
                raise self._fault(error) from error
            self._closing = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies right in a folder, sorted; none if it is not there."""
        return self._contents.names(folder)

    def __contains__(self, name: str) -> bool:
        return name in self._contents

    def size(self, name: str) -> int:
        """Return the bytes of a file."""
        return self._contents.place(name)[1]

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the bytes of a file, or the first of them; threads may do so at once."""
        offset, size = self._contents.place(name)
        count = size if limit is None else min(limit, size)
        return os.pread(self._file.fileno(), count, offset)

    def describe(self, name: str) -> str:
        """Return where a file lies, for errors."""
        return str(self.path / name)

    def _read_all(self, raw: IO[bytes], stack: ExitStack, progress: Progress | None) -> None:
        """Make the index, and the temporary file if the archive is compressed."""
        stream = _decompressed(raw)
        copy: IO[bytes] | None = None
        if stream is not raw:
            stack.enter_context(stream)
            spool = tempfile.TemporaryFile(prefix="ss3d-")  # noqa: SIM115 - the stack closes it
            copy = stack.enter_context(spool)
        total = os.fstat(raw.fileno()).st_size
        mode = "r:" if copy is None else "r|"
        with tarfile.open(fileobj=stream, mode=mode, tarinfo=_Header) as archive:
            for done in _every_mib(raw, self._read_members(archive, raw, copy)):
                if progress is not None:
                    progress(done, -(-total // MIB))
        if copy is not None:
            while stream.read(MIB):  # to the checksum at the end
                pass
            copy.flush()
            self._file = copy

    def _read_members(
        self, archive: tarfile.TarFile, raw: IO[bytes], copy: IO[bytes] | None
    ) -> Iterator[None]:
        """Go through the archive once, yielding after each member."""
        while (member := archive.next()) is not None:
            self._check_ratio(raw, archive.offset)
            archive.members.clear()  # pyrefly: ignore[missing-attribute] - it would keep them all
            self._member = member.name
            self._add(archive, member, copy)
            yield

    def _add(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, copy: IO[bytes] | None
    ) -> None:
        """Take a member into the index and, if it is wanted, into the temporary file."""
        if member.isdir():
            if inside := self._contents.inner_name(f"{member.name}/any"):
                self._contents.add_folder(inside.rpartition("/")[0])
            return
        name = self._contents.inner_name(member.name)
        if name is None:
            return
        self._check_plain(member)
        if not self._wanted(name):
            self._contents.add_folder(name.rpartition("/")[0])
        elif copy is None:
            self._contents.add(name, (member.offset_data, member.size))
        else:
            self._contents.add(name, (copy.tell(), member.size))
            if (content := archive.extractfile(member)) is not None:
                shutil.copyfileobj(content, copy, MIB)

    def _check_plain(self, member: tarfile.TarInfo) -> None:
        """Refuse links, files with holes, and files that are too large."""
        if not member.isreg() or member.issparse():
            raise DataError(
                f"{self.path}: got {member.name} as a link or a file with holes, expected a plain "
                "file; unpack the archive and name the folder"
            )
        if member.size > MAX_BYTES:
            raise DataError(
                f"{self.path / member.name}: got {member.size} bytes, expected at most {MAX_BYTES}"
            )

    def _check_ratio(self, raw: IO[bytes], unfolded: int) -> None:
        """Refuse a bomb, before its next member is read."""
        size = os.fstat(raw.fileno()).st_size
        if unfolded > MAX_RATIO * size + FREE_BYTES:
            raise DataError(
                f"{self.path}: got {unfolded} bytes out of {size}, after {self._member}, expected "
                f"at most {MAX_RATIO} times as many; fetch it again from its publisher"
            )

    def _fault(self, error: Exception) -> DataError:
        """Return what went wrong, and what to do."""
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return DataError(
                f"{self.path}: no room for a copy of its files in {tempfile.gettempdir()}; set "
                "TMPDIR to a folder on a larger disk, or unpack the archive and name the folder"
            )
        where = f", after {self._member}" if self._member else ""
        return DataError(
            f"{self.path}: not a readable tar archive{where}: {error}; expected a folder, .zip, "
            ".tar, .tgz, .tar.xz or .tar.bz2; if it was cut short, compare its size with the "
            "publisher's, or fetch it again"
        )


class _Header(tarfile.TarInfo):
    """A header that has to be whole: tarfile takes a broken one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a block of 512 bytes."""
        try:
            header = super().frombuf(buf, encoding, errors)
            if header.type in _FIELDS and header.size > MAX_HEADER:
                raise tarfile.ReadError(f"a header of {header.size} bytes")
            if header.type == tarfile.GNUTYPE_SPARSE and buf[_HAS_MORE_HOLES]:
                raise tarfile.ReadError("a file with many holes")
            return header
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):  # the mark of the end
                raise
            raise tarfile.ReadError(f"{error} before the mark of the end") from error


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    """Return the file, or a stream of what it holds compressed."""
    head = raw.read(6)
    raw.seek(0)
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return cast(IO[bytes], opener(raw))
    return raw


def _every_mib(raw: IO[bytes], steps: Iterator[None]) -> Iterator[int]:
    """Take steps, yielding how many MiB of a file are read whenever that has grown."""
    seen = -1
    for _ in steps:
        if (done := raw.tell() // MIB) > seen:
            seen = done
            yield done
