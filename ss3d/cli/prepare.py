"""`ss3d data prepare`: write a data set that trials can use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ss3d.cli.manifest_table import progress_bar, show_manifest
from ss3d.cli.output import JsonFlag
from ss3d.errors import ConfigError

if TYPE_CHECKING:
    from ss3d.data.cache import Progress
    from ss3d.data.manifest import Manifest
    from ss3d.store.protocol import Store

app = typer.Typer(
    help="Write a data set that trials can use.", no_args_is_help=True, rich_markup_mode="rich"
)

Out = Annotated[
    str, typer.Argument(help="Where to: a folder, made if it is not there, or s3://BUCKET/PREFIX.")
]
Name = Annotated[str | None, typer.Option(help="Name of the data set; default: the folder's.")]
Side = Annotated[int, typer.Option(min=32, max=512, help="Side of the stored images in pixels.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides all that is drawn.")]
SplitFile = Annotated[
    Path | None,
    typer.Option(help="JSON list of {taxonomy_id, taxonomy_name, train, val, test}."),
]
Categories = Annotated[
    list[str] | None, typer.Option(help="Id (folder) or name; repeat for more. Default all.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes; default one per usable core.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out what is damaged and count it.")
]


@app.command()
def shapenet(
    images: Annotated[
        Path, typer.Argument(help="Folder or archive of <synset>/<model>/rendering/*.png.")
    ],
    clouds: Annotated[
        Path, typer.Argument(help="Folder or archive of <synset>/<model>.points.ply.npy.")
    ],
    out: Out,
    split: SplitFile = None,
    size: Annotated[int, typer.Option(min=32, help="Side of the renderings in pixels.")] = 137,
    views: Annotated[int | None, typer.Option(min=1, help="Views per model; default all.")] = None,
    categories: Categories = None,
    skip_bad: SkipBad = False,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Import ShapeNet in its public layout: R2N2 renderings and point clouds.

    Both may be archives (.zip, .tar, .tgz, .tar.xz, .tar.bz2), or one archive of both; they are not
    unpacked. What is wanted of a compressed tar is copied to a temporary file (in TMPDIR) in one
    pass. Without --split the models of each category are sorted by name and cut 70/10/20.

    Examples:
      ss3d data prepare shapenet images.tgz clouds.zip data/shapenet
    """
    from ss3d.data.shapenet import ShapeNetSource, prepare_shapenet

    source = ShapeNetSource(
        images=images,
        clouds=clouds,
        split=split,
        name=_title(name, out),
        size=size,
        num_views=views,
        categories=tuple(categories or ()),
        skip_bad=skip_bad,
    )
    _write(out, as_json, lambda store, progress: prepare_shapenet(source, store, progress))


@app.command()
def procedural(
    out: Out,
    models: Annotated[int, typer.Option(min=16, help="Objects, over eight categories.")] = 96,
    seed: Seed = 0,
    size: Side = 64,
    views: Annotated[int, typer.Option(min=1, max=99, help="Views per object.")] = 8,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a data set out of nothing: parametric chairs, cars, lamps and five more categories.

    Examples:
      ss3d data prepare procedural data/demo --models 96 --seed 0
    """
    from ss3d.data.items import Shape
    from ss3d.data.procedural import NUM_POINTS, prepare_procedural

    shape = Shape(num_views=views, image_size=size, num_points=NUM_POINTS)
    title = _title(name, out)
    _write(
        out,
        as_json,
        lambda store, progress: prepare_procedural(store, title, models, seed, shape, progress),
    )


@app.command()
def meshes(
    folder: Annotated[
        Path,
        typer.Argument(help="<category>/<model>.obj or <category>/<model>/*.obj; zips are read."),
    ],
    out: Out,
    up: Annotated[str, typer.Option(help="Axis of the meshes that is up: y or z.")] = "y",
    views: Annotated[int, typer.Option(min=1, max=99, help="Views per model.")] = 24,
    size: Side = 137,
    seed: Seed = 0,
    workers: Workers = None,
    split: SplitFile = None,
    categories: Categories = None,
    skip_bad: SkipBad = False,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Render and sample a folder of meshes, in any format that trimesh reads.

    Cameras are drawn from R2N2's range; colors and textures are kept; 8192 points are drawn by
    area. FOLDER may be a zip archive, or hold some (ShapeNetCore has one per category); they are
    not unpacked. Without --split the models of each category are sorted by name and cut 70/10/20.

    A catalogue of Sweet Home 3D (.sh3f; y is up) is such an archive, and one category; the README
    has a recipe that takes the categories from the catalogue.

    Examples:
      ss3d data prepare meshes furniture data/furniture --categories office
    """
    from ss3d.data.meshes import MeshSource, prepare_meshes

    if up not in ("y", "z"):
        raise ConfigError(f"--up: got {up!r}, expected y or z")
    source = MeshSource(
        root=folder,
        split=split,
        name=_title(name, out),
        up="z" if up == "z" else "y",
        num_views=views,
        size=size,
        seed=seed,
        categories=tuple(categories or ()),
        skip_bad=skip_bad,
    )
    _write(out, as_json, lambda store, progress: prepare_meshes(source, store, workers, progress))


@app.command()
def pix3d(
    root: Annotated[Path, typer.Argument(help="Folder with pix3d.json, img, mask and model.")],
    out: Out,
    split: Annotated[
        str, typer.Option(help="s1 (by image), s2 (by model) or a JSON file of image ids.")
    ] = "s1",
    seed: Seed = 0,
    categories: Annotated[
        list[str] | None, typer.Option(help="Repeat for more. Default all but chair.")
    ] = None,
    size: Side = 242,
    workers: Workers = None,
    skip_bad: SkipBad = False,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Import Pix3D as published; ROOT may be its zip archive.

    One item is one image (item id = the image's name) with the cloud of its model. s1 takes 25 %
    of each category's images for test, s2 all images of some models; val is 10 % of the remaining
    images, all those of some training models. The object's square is cut out, its side 1.2 times
    the longer side of the box; the mask is kept as alpha and used if `data.use_mask` is true.

    Examples:
      ss3d data prepare pix3d pix3d data/pix3d --skip-bad
    """
    from ss3d.data.pix3d import Pix3dSource, prepare_pix3d

    source = Pix3dSource(
        root=root,
        split=split,
        name=_title(name, out),
        size=size,
        seed=seed,
        categories=tuple(categories or ()),
        skip_bad=skip_bad,
    )
    _write(out, as_json, lambda store, progress: prepare_pix3d(source, store, workers, progress))


@app.command()
def pairs(
    table: Annotated[
        Path, typer.Argument(help="CSV with the columns image,cloud[,category,split,model].")
    ],
    out: Out,
    size: Side = 224,
    skip_bad: SkipBad = False,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Import images and their clouds (.npy, .ply, .xyz; y up) that a CSV file lists.

    Paths are relative to the file. One line is one item, its id the path of its image. Images are
    padded to a square. Lines of one model go to one split; without a split column the models of
    each category are sorted by name and cut 70/10/20.

    Examples:
      ss3d data prepare pairs photos/list.csv data/photos
    """
    from ss3d.data.pairs import PairsSource, prepare_pairs

    source = PairsSource(table, _title(name, out), size, skip_bad)
    _write(out, as_json, lambda store, progress: prepare_pairs(source, store, progress))


def _title(name: str | None, out: str) -> str:
    """Return the name of a data set: the one given, or the last part of its address."""
    return name or Path(out).resolve().name


def _write(out: str, as_json: bool, prepare: Callable[[Store, Progress], Manifest]) -> None:
    """Prepare a data set under a progress bar, and show what it holds."""
    from ss3d.store.opening import open_store

    with progress_bar("Preparing") as progress:
        manifest = prepare(open_store(out), progress)
    show_manifest(manifest, out, as_json)
