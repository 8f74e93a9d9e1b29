"""`ss3d data prepare`: write a data set that trials can use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ss3d.cli.manifest_table import progress_bar, show_manifest
from ss3d.cli.output import JsonFlag
from ss3d.errors import ConfigError

app = typer.Typer(
    help="Write a data set that trials can use.", no_args_is_help=True, rich_markup_mode="rich"
)

Out = Annotated[Path, typer.Argument(help="Folder of the data set; made if it is not there.")]
Name = Annotated[str | None, typer.Option(help="Name of the data set; default: the folder's.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out what is damaged and count it.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes; default one per usable core.")
]


@app.command()
def shapenet(
    images: Annotated[Path, typer.Argument(help="Folder with <synset>/<model>/rendering/*.png.")],
    clouds: Annotated[Path, typer.Argument(help="Folder with <synset>/<model>.points.ply.npy.")],
    out: Out,
    split: Annotated[
        Path | None,
        typer.Option(help="JSON list of {taxonomy_id, taxonomy_name, train, val, test}."),
    ] = None,
    size: Annotated[int, typer.Option(min=32, help="Side of the renderings in pixels.")] = 137,
    views: Annotated[int | None, typer.Option(min=1, help="Views per model; default all.")] = None,
    categories: Annotated[
        list[str] | None, typer.Option(help="Synset id or name; repeat for more. Default all.")
    ] = None,
    skip_bad: SkipBad = False,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Import ShapeNet in its public layout: R2N2 renderings and point clouds.

    Without --split the models of each category are sorted by name and cut 70/10/20.

    Example: ss3d data prepare shapenet ShapeNetRendering ShapeNetV1PointCloud data/shapenet
    """
    from ss3d.data.shapenet import ShapeNetSource, prepare_shapenet
    from ss3d.store.opening import open_store

    source = ShapeNetSource(
        images=images,
        clouds=clouds,
        split=split,
        name=name or out.resolve().name,
        size=size,
        num_views=views,
        categories=tuple(categories or ()),
        skip_bad=skip_bad,
    )
    with progress_bar("Importing") as report:
        manifest = prepare_shapenet(source, open_store(out), report)
    show_manifest(manifest, out, as_json)


@app.command()
def procedural(
    out: Out,
    models: Annotated[int, typer.Option(min=16, help="Objects, over eight categories.")] = 96,
    seed: Annotated[int, typer.Option(min=0, help="Decides every bit of the data set.")] = 0,
    size: Annotated[int, typer.Option(min=32, max=512, help="Side of the views in pixels.")] = 64,
    views: Annotated[int, typer.Option(min=1, max=99, help="Views per object.")] = 8,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a data set out of nothing: parametric chairs, cars, lamps and five more categories.

    Example: ss3d data prepare procedural data/demo --models 96 --seed 0
    """
    from ss3d.data.items import Shape
    from ss3d.data.procedural import NUM_POINTS, prepare_procedural
    from ss3d.store.opening import open_store

    shape = Shape(num_views=views, image_size=size, num_points=NUM_POINTS)
    title = name or out.resolve().name
    with progress_bar("Making") as report:
        manifest = prepare_procedural(open_store(out), title, models, seed, shape, report)
    show_manifest(manifest, out, as_json)


@app.command()
def meshes(
    folder: Annotated[
        Path,
        typer.Argument(help="<category>/<model>.obj or <category>/<model>/*.obj; zips are read."),
    ],
    out: Out,
    up: Annotated[str, typer.Option(help="Axis of the meshes that is up: y or z.")] = "y",
    views: Annotated[int, typer.Option(min=1, max=99, help="Views per model.")] = 24,
    size: Annotated[int, typer.Option(min=32, max=512, help="Side of the views in pixels.")] = 137,
    seed: Annotated[int, typer.Option(min=0, help="Decides cameras and points.")] = 0,
    workers: Workers = None,
    split: Annotated[
        Path | None, typer.Option(help="JSON list of {taxonomy_id, train, val, test}.")
    ] = None,
    categories: Annotated[
        list[str] | None, typer.Option(help="Folder of a category; repeat for more. Default all.")
    ] = None,
    skip_bad: SkipBad = False,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Render and sample a folder of meshes, in any format that trimesh reads.

    Cameras are drawn from R2N2's range; colours and textures are kept; 8192 points are drawn by
    area. FOLDER may be a zip archive, or hold some (ShapeNetCore has one per category); they are
    not unpacked. Without --split the models of each category are sorted by name and cut 70/10/20.

    A catalogue of Sweet Home 3D (.sh3f) is such an archive, and one category; the README has a
    recipe that takes the categories from the catalogue.

    Example: ss3d data prepare meshes furniture data/furniture --up z
    """
    from ss3d.data.meshes import MeshSource, prepare_meshes
    from ss3d.store.opening import open_store

    if up not in ("y", "z"):
        raise ConfigError(f"--up: got {up!r}, expected y or z")
    source = MeshSource(
        root=folder,
        split=split,
        name=name or out.resolve().name,
        up="z" if up == "z" else "y",
        num_views=views,
        size=size,
        seed=seed,
        categories=tuple(categories or ()),
        skip_bad=skip_bad,
    )
    with progress_bar("Rendering") as report:
        manifest = prepare_meshes(source, open_store(out), workers, report)
    show_manifest(manifest, out, as_json)


@app.command()
def pix3d(
    root: Annotated[Path, typer.Argument(help="Folder with pix3d.json, img, mask and model.")],
    out: Out,
    split: Annotated[
        str, typer.Option(help="s1 (by image), s2 (by model) or a JSON file of image ids.")
    ] = "s1",
    seed: Annotated[int, typer.Option(min=0, help="Decides splits and points.")] = 0,
    categories: Annotated[
        list[str] | None, typer.Option(help="Repeat for more. Default all but chair.")
    ] = None,
    size: Annotated[int, typer.Option(min=32, max=512, help="Side of the images.")] = 242,
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

    Example: ss3d data prepare pix3d pix3d data/pix3d --skip-bad
    """
    from ss3d.data.pix3d import Pix3dSource, prepare_pix3d
    from ss3d.store.opening import open_store

    source = Pix3dSource(
        root=root,
        split=split,
        name=name or out.resolve().name,
        size=size,
        seed=seed,
        categories=tuple(categories or ()),
        skip_bad=skip_bad,
    )
    with progress_bar("Importing") as report:
        manifest = prepare_pix3d(source, open_store(out), workers, report)
    show_manifest(manifest, out, as_json)


@app.command()
def pairs(
    table: Annotated[
        Path, typer.Argument(help="CSV with the columns image,cloud[,category,split,model].")
    ],
    out: Out,
    size: Annotated[int, typer.Option(min=32, max=512, help="Side of the images.")] = 224,
    skip_bad: SkipBad = False,
    name: Name = None,
    as_json: JsonFlag = False,
) -> None:
    """Import images and their clouds (.npy, .ply, .xyz; y up) that a CSV file lists.

    Paths are relative to the file. One line is one item, its id the path of its image. Images are
    padded to a square. Lines of one model go to one split; without a split column the models of
    each category are sorted by name and cut 70/10/20.

    Example: ss3d data prepare pairs photos/list.csv data/photos
    """
    from ss3d.data.pairs import PairsSource, prepare_pairs
    from ss3d.store.opening import open_store

    source = PairsSource(table, name or out.resolve().name, size, skip_bad)
    with progress_bar("Importing") as report:
        manifest = prepare_pairs(source, open_store(out), report)
    show_manifest(manifest, out, as_json)
