import numpy as np
import pytest
from mesh_files import cube, image_bytes, ply, write
from PIL import Image

from ss3d.data import images
from ss3d.data.dataset import open_dataset
from ss3d.data.images import decode_rgba
from ss3d.data.pairs import PairsSource, prepare_pairs
from ss3d.errors import DataError

RNG = np.random.default_rng(0)
SUFFIXES = ("png", "jpg")
POINTS = RNG.normal(size=(200, 3)).astype(np.float32)


def xyz(points):
    return "# x y z\n" + "".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in points)


@pytest.fixture
def folder(tmp_path):
    """Ten photos, 60 wide and 40 high, with clouds in the three formats."""
    root = tmp_path / "photos"
    for number in range(10):
        pixels = np.full((40, 60, 3), (10 * number, 50, 200))
        kind, suffix = (("PNG", "png"), ("JPEG", "jpg"))[number % 2]
        write(root / "img" / f"p{number}.{suffix}", image_bytes(pixels, kind))
    np.save(root / "a.npy", POINTS)
    write(root / "b.ply", ply(POINTS, ()))
    write(root / "c.xyz", xyz(POINTS))
    return root


def table(folder, rows=None, columns="image,cloud"):
    suffixes = ("png", "jpg")
    default = [
        f"img/p{n}.{suffixes[n % 2]},{('a.npy', 'b.ply', 'c.xyz')[n % 3]}" for n in range(10)
    ]
    return write(folder / "list.csv", "\n".join([columns, *(rows or default)]) + "\n")


def prepare(path, store, **changes):
    return prepare_pairs(PairsSource(path, size=32, **changes), store)


def by_key(store):
    return {item.key: item for item in open_dataset(store).models()}


def test_lines_become_items(folder, store):
    seen = []
    source = PairsSource(table(folder), size=32)
    manifest = prepare_pairs(source, store, lambda *state: seen.append(state))
    assert manifest.categories == {"object": "object"}
    assert manifest.counts == {"object": {"train": 7, "val": 1, "test": 2}}
    assert (manifest.num_views, manifest.image_size, manifest.num_points) == (1, 32, 200)
    assert manifest.alpha == "background"
    assert seen[-1] == (10, 10)
    items = by_key(store)
    assert next(iter(items)) == "object/img-p0"
    for item in items.values():  # the same cloud in three formats
        order, wanted = np.lexsort(item.cloud.T), np.lexsort(POINTS.T)
        assert item.cloud[order] == pytest.approx(POINTS[wanted], abs=1e-5)


def test_images_are_padded_to_a_square(folder, store):
    prepare(
        table(folder, ["img/p2.png,a.npy,train", "img/p1.jpg,a.npy,val"], "image,cloud,split"),
        store,
    )
    for key, color in (("object/img-p2", (20, 50, 200)), ("object/img-p1", (10, 50, 200))):
        pixels = decode_rgba(by_key(store)[key].images[0], key)
        assert pixels.shape == (32, 32, 4)
        assert (pixels[:4, :, 3] == 0).all()
        assert (pixels[-4:, :, 3] == 0).all()
        assert (pixels[8:-8, :, 3] == 255).all()
        assert pixels[16, 16, :3].tolist() == pytest.approx(color, abs=3)


def test_own_alpha_is_kept_and_photos_are_turned_upright(folder, store):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[8:24, 8:24] = 255
    write(folder / "img" / "p0.png", image_bytes(pixels))
    turned = Image.new("RGB", (32, 16), "red")
    turned.paste("blue", (0, 0, 16, 16))  # the left half
    exif = turned.getexif()
    exif[0x0112] = 6  # the camera was held turned: left is above
    turned.save(folder / "img" / "p1.jpg", exif=exif, quality=95)
    prepare(table(folder), store)
    items = by_key(store)
    assert (decode_rgba(items["object/img-p0"].images[0], "p0")[..., 3] == pixels[..., 3]).all()
    upright = decode_rgba(items["object/img-p1"].images[0], "p1")
    assert upright[4, 16].argmax() == 3
    assert upright[4, 16, 2] > 200 > 60 > upright[4, 16, 0]
    assert upright[28, 16, 0] > 200
    assert (upright[:, :7, 3] == 0).all()


def test_models_and_splits_as_listed(folder, store):
    rows = [
        "img/p0.png,a.npy,chair,train,m0",
        "img/p1.jpg,a.npy,chair,train,m0",
        "img/p2.png,b.ply,chair,val,m1",
        "img/p3.jpg,c.xyz,03001627,test,m1",
    ]
    manifest = prepare(table(folder, rows, "image,cloud,category,split,model"), store)
    assert manifest.categories == {"03001627": "chair", "chair": "chair"}
    assert manifest.counts["chair"] == {"train": 2, "val": 1, "test": 0}


def test_lines_of_a_model_go_to_one_split(folder, store):
    rows = [f"img/p{n}.{SUFFIXES[n % 2]},a.npy,m{n // 2}" for n in range(10)]
    prepare(table(folder, rows, "image,cloud,model"), store)
    split = [by_key(store)[f"object/img-p{n}"].split for n in range(10)]
    assert split == ["train"] * 6 + ["val"] * 2 + ["test"] * 2


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (["img/p0.png"], "image", "got the columns image; expected image, cloud"),
        (["a,b,c"], "image,cloud,color", "got the columns image, cloud, color; expected"),
        (["img/p0.png,"], "image,cloud", "line 2: expected an image and a cloud"),
        (["img/p0.png,a.npy,what"], "image,cloud", "line 2: expected an image and a cloud"),
        (["img/p0.png,a.npy,best"], "image,cloud,split", "line 2: got the split 'best'"),
        (
            ["img/p0.png,a.npy,val", "img/p2.png,a.npy,"],
            "image,cloud,split",
            "line 3 has no split, others have one",
        ),
        (
            ["img/p0.png,a.npy,val,m", "img/p2.png,a.npy,test,m"],
            "image,cloud,split,model",
            "line 3: model m is in two splits",
        ),
        (
            ["img/p0.png,a.npy", "./img/p0.jpg,b.ply"],
            "image,cloud",
            "lines 2 and 3 are both object/img-p0",
        ),
        ([""], "image,cloud", "lists nothing"),
    ],
)
def test_bad_lists_are_named(folder, store, rows, columns, message):
    with pytest.raises(DataError, match=message):
        prepare(table(folder, rows, columns), store)


def test_missing_or_binary_list_is_named(folder, store):
    with pytest.raises(DataError, match=r"none\.csv: there is no such file"):
        prepare(folder / "none.csv", store)
    with pytest.raises(DataError, match=r"list\.csv: not a readable CSV file"):
        prepare(write(folder / "list.csv", b"\xff\xfe\x00"), store)


def damages():
    yield "no image", "p3.jpg", None, "p3.jpg: No such file"
    yield "no picture", "p3.jpg", b"text", "p3.jpg: not a readable image"
    yield "postscript", "p3.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS image"
    yield "no cloud", "d.xyz", None, "d.xyz: there is no such cloud"
    yield "few points", "d.xyz", xyz(POINTS[:20]), "d.xyz: got 20 points"
    yield "not finite", "d.xyz", xyz(POINTS * np.nan), "d.xyz: has points that are not finite"
    yield "words", "d.xyz", "one two three\n" * 100, "d.xyz: expected three numbers a line"
    yield "mesh", "d.ply", ply(*cube()), "d.ply: is a mesh"
    yield "broken ply", "d.ply", "ply\nformat", "d.ply: not a readable PLY file"
    yield "other format", "d.pcd", "", "d.pcd: expected a cloud as one of .npy, .ply, .xyz"


@pytest.mark.parametrize(
    ("name", "content", "message"), [pytest.param(*rest, id=name) for name, *rest in damages()]
)
def test_damage_is_named_or_skipped_and_counted(folder, store, name, content, message):
    cloud = name if name.startswith("d") else "a.npy"
    path = table(folder, ["img/p1.jpg,a.npy,train", f"img/p3.jpg,{cloud},val"], "image,cloud,split")
    broken = folder / (name if name.startswith("d") else f"img/{name}")
    broken.unlink(missing_ok=True)
    if content is not None:
        write(broken, content)
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        prepare(path, store)
    manifest = prepare(path, store, skip_bad=True)
    assert [skipped.model for skipped in manifest.skipped] == ["object/img-p3"]
    assert manifest.num_points == 200


def test_large_images_are_refused(folder, store, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 60 * 40 - 1)
    with pytest.raises(DataError, match=r"p0\.png: too large an image: 60x40 pixels"):
        prepare(table(folder), store)
