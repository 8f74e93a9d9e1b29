"""What the published archives give is what their folders give."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile

import pytest

from ss3d.data import tar_tree
from ss3d.data.dataset import open_dataset
from ss3d.data.shapenet import ShapeNetSource, prepare_shapenet
from ss3d.errors import DataError
from ss3d.store.directory import DirectoryStore

PLANE, CHAIR = "02691156", "03001627"
COMPRESS = {"tar": bytes, "tgz": gzip.compress, "tar.xz": lzma.compress, "tar.bz2": bz2.compress}


def members(*folders):
    """Names and contents as an archive of these folders has them, in no order."""
    paths = [(folder, path) for folder in folders for path in sorted(folder.rglob("*"))]
    random.Random(0).shuffle(paths)
    for folder, path in paths:
        name = path.relative_to(folder.parent).as_posix()
        yield name, None if path.is_dir() else path.read_bytes()


def tar_bytes(contents, **fields):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in contents:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            member.size = len(data or b"")
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(data or b""))
    return buffer.getvalue()


def write_archive(path, contents):
    suffix = path.name.partition(".")[2]
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in contents:
                archive.writestr(name if data is not None else f"{name}/", data or b"")
    else:
        path.write_bytes(COMPRESS[suffix](tar_bytes(contents)))
    return path


def prepare(images, clouds, store, **changes):
    return prepare_shapenet(ShapeNetSource(images, clouds, **({"size": 40} | changes)), store)


@pytest.fixture
def other(tmp_path):
    return DirectoryStore(tmp_path / "other")


@pytest.fixture
def tgz(tree, tmp_path):
    return write_archive(tmp_path / "ShapeNetRendering.tgz", members(tree.images))


def keys(store):
    return [item.key for item in open_dataset(store).models()]


@pytest.mark.parametrize(
    ("images", "clouds"),
    [("tgz", "zip"), ("tar", "tar"), ("tar.xz", "tar.bz2"), ("zip", "tgz"), ("folder", "zip")],
)
def test_archives_give_what_their_folders_give(tree, store, other, tmp_path, images, clouds):
    expected = prepare(tree.images, tree.clouds, store)
    paths = [
        folder if kind == "folder" else write_archive(tmp_path / f"{name}.{kind}", members(folder))
        for name, kind, folder in (("i", images, tree.images), ("c", clouds, tree.clouds))
    ]
    assert prepare(*paths, other) == expected
    assert keys(other) == keys(store) == sorted(keys(store))


def test_one_archive_of_both_is_read_once(tree, store, other, tmp_path):
    path = write_archive(tmp_path / "both.tgz", members(tree.images, tree.clouds))
    seen = []
    source = ShapeNetSource(path, path, size=40)
    manifest = prepare_shapenet(source, other, lambda *state: seen.append(state))
    assert manifest == prepare(tree.images, tree.clouds, store)
    assert seen == [(0, 1), *((done, 20) for done in range(1, 21))]


def test_leading_folders_and_the_files_of_a_mac_do_not_matter(tree, store, other, tmp_path):
    contents = [(f"./a/b/{name}", data) for name, data in members(tree.images)]
    contents += [(f"__MACOSX/{CHAIR}/m00/rendering/._00.png", b""), ("a/readme.txt", b"")]
    path = write_archive(tmp_path / "i.tgz", contents)
    assert prepare(path, tree.clouds, other) == prepare(tree.images, tree.clouds, store)


def test_only_what_is_wanted_is_copied(tree, tgz, store, other, monkeypatch):
    copied = []
    whole = tar_tree.shutil.copyfileobj

    def watched(source, target, length):
        copied.append(target.tell())
        whole(source, target, length)

    monkeypatch.setattr(tar_tree.shutil, "copyfileobj", watched)
    expected = prepare(tree.images, tree.clouds, store, categories=("chair",))
    assert prepare(tgz, tree.clouds, other, categories=("chair",)) == expected
    assert len(copied) == 10 * (3 + 1)  # views and cameras of one category, each once


def test_split_file_and_skipped_models_are_those_of_the_folder(tree, store, other, tmp_path):
    (tree.rendering(CHAIR, "m03") / "01.png").write_bytes(b"no picture")
    (tree.rendering(CHAIR, "m04") / "02.png").unlink()
    tree.cloud(CHAIR, "m05").unlink()
    cloud = tree.cloud(CHAIR, "m06")
    cloud.write_bytes(cloud.read_bytes()[:300])
    names = [f"m{number:02d}" for number in range(10)]
    split = tree.split([{"taxonomy_id": CHAIR, "train": [*names[:8], "nobody"], "val": names[8:9]}])
    images = write_archive(tmp_path / "i.tgz", members(tree.images))
    clouds = write_archive(tmp_path / "c.zip", members(tree.clouds))
    expected = prepare(tree.images, tree.clouds, store, split=split, skip_bad=True)
    manifest = prepare(images, clouds, other, split=split, skip_bad=True)
    assert manifest.content_hash == expected.content_hash
    skipped = {skipped.model: skipped.reason for skipped in manifest.skipped}
    assert sorted(skipped) == [f"{CHAIR}/{model}" for model in (*names[3:7], "nobody")]
    assert skipped[f"{CHAIR}/m05"] == f"{clouds}/{CHAIR}/m05.points.ply.npy: there is no such file"
    assert "got 300 bytes, expected 7328; it was cut short" in skipped[f"{CHAIR}/m06"]
    assert (
        f"{images}/{CHAIR}/nobody/rendering: there is no such folder" in skipped[f"{CHAIR}/nobody"]
    )


def test_unknown_category_says_what_the_archive_has(tree, tgz, store):
    with pytest.raises(DataError, match=r"got 'sofa', there is airplane \(02691156\), chair"):
        prepare(tgz, tree.clouds, store, categories=("sofa",))


@pytest.mark.parametrize(
    ("suffix", "share"),
    [("tar", 0.9), ("tgz", 0.3), ("tgz", 0.999), ("tar.xz", 0.9), ("tar.bz2", 0.9), ("zip", 0.9)],
)
def test_archives_that_are_cut_short_are_named(tree, store, tmp_path, suffix, share):
    path = write_archive(tmp_path / f"i.{suffix}", members(tree.images))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError) as error:
        prepare(path, tree.clouds, store, skip_bad=True)
    assert f"{path}: not a readable" in str(error.value)
    assert "compare its size with the publisher's, or fetch it again" in str(error.value)
    assert list(store.list("")) == []


def test_archive_cut_between_two_members_is_named(tree, store, tmp_path):
    path = write_archive(tmp_path / "i.tar", members(tree.images))
    with tarfile.open(path) as archive:
        end = archive.getmembers()[20].offset
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(DataError, match=r"empty header before the mark of the end|unexpected end"):
        prepare(path, tree.clouds, store)


@pytest.mark.parametrize("suffix", ["tar", "tgz"])
def test_broken_header_is_not_taken_for_the_end(tree, store, tmp_path, suffix):
    content = bytearray(tar_bytes(members(tree.images)))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        before, member = archive.getmembers()[19:21]
    content[member.offset : member.offset + 100] = b"x" * 100
    path = tmp_path / f"i.{suffix}"
    path.write_bytes(COMPRESS[suffix](content))
    with pytest.raises(DataError, match=f"after {before.name}: bad checksum before the mark"):
        prepare(path, tree.clouds, store)


def test_damaged_compression_is_named(tree, tgz, store):
    content = bytearray(tgz.read_bytes())
    content[-8] ^= 1  # of the checksum
    tgz.write_bytes(content)
    with pytest.raises(DataError, match=r"ShapeNetRendering\.tgz: not a readable.*CRC"):
        prepare(tgz, tree.clouds, store)


@pytest.mark.parametrize("content", [b"", b"a text that is no archive\n" * 100])
def test_other_files_are_named(tree, store, tmp_path, content):
    path = tmp_path / "i.tgz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"i\.tgz: not a readable tar archive: .*expected a folder"):
        prepare(path, tree.clouds, store)


@pytest.mark.parametrize("suffix", ["tgz", "zip"])
@pytest.mark.parametrize(
    "name", ["../up.png", "/etc/up.png", f"a/../../{PLANE}/m/rendering/00.png"]
)
def test_path_that_leaves_the_archive_is_named(tree, store, tmp_path, suffix, name):
    path = write_archive(tmp_path / f"i.{suffix}", [*members(tree.images), (name, b"data")])
    with pytest.raises(DataError, match=r"got the member .* expected paths inside the archive; do"):
        prepare(path, tree.clouds, store, skip_bad=True)


def test_links_are_named(tree, store, tmp_path):
    path = tmp_path / "i.tar"
    link = [(f"r/{PLANE}/m00/rendering/00.png", b"")]
    path.write_bytes(tar_bytes(link, type=tarfile.SYMTYPE, linkname="/etc/passwd"))
    with pytest.raises(DataError, match=r"00\.png as a link.*expected a plain file; unpack the"):
        prepare(path, tree.clouds, store)


def test_two_leading_folders_are_named(tree, store, tmp_path):
    contents = [(f"{root}/{PLANE}/m{root}/rendering/00.png", b"") for root in "ab"]
    path = write_archive(tmp_path / "i.tgz", contents)
    with pytest.raises(DataError, match="got files below 'a' and below 'b', expected one such"):
        prepare(path, tree.clouds, store)


def test_large_members_are_refused(tree, tgz, store, monkeypatch):
    monkeypatch.setattr(tar_tree, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match=r"\.png: got \d+ bytes, expected at most 1000"):
        prepare(tgz, tree.clouds, store)


def test_full_disk_says_where_and_what_to_do(tree, tgz, store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tar_tree.shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"no room for a copy of its files in /.*set TMPDIR"):
        prepare(tgz, tree.clouds, store)


def test_archive_of_something_else_is_named(tree, store, tmp_path):
    path = write_archive(tmp_path / "i.tgz", [("a/readme.txt", b"text")])
    with pytest.raises(DataError, match=r"i\.tgz: no model found; expected <synset>/<model>/rend"):
        prepare(path, tree.clouds, store)
