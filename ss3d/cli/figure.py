"""`ss3d figure`: the paper's figures from stored clouds, without a GPU or the data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ss3d.cli.opening import HomeOption, StoreOption, local_network, model_directory
from ss3d.cli.options import WhereOption, parse_assignments
from ss3d.cli.output import JsonFlag, console, emit
from ss3d.errors import ConfigError
from ss3d.settings import Settings, load_settings

if TYPE_CHECKING:
    from ss3d.report.figures_choice import Choice, Model
    from ss3d.report.figures_groups import Candidate
    from ss3d.report.figures_sheet import Sheet

Kind = Literal["comparison", "ratios", "viewpoints", "ablation", "limitations"]
TITLES: dict[Kind, str] = {
    "comparison": "Reconstructions",
    "ratios": "What labels are worth",
    "viewpoints": "One prediction from all sides",
    "ablation": "Ablation",
    "limitations": "Where it fails",
}


def figure(
    kind: Annotated[
        Kind, typer.Argument(help="comparison, ratios, viewpoints, ablation or limitations.")
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="Train directory or STUDY/t00017; for ratios and ablation a STUDY.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="fig.png, .pdf or .html.")],
    pick: Annotated[
        Literal["median", "best", "worst", "hash"] | None,
        typer.Option(help="Rule for the objects; default median, for limitations worst."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=48, help="Objects.")] = 5,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Of a column, in order; may be repeated.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="PATH", help="Parameter of an ablation.")
    ] = None,
    where: WhereOption = None,
    azimuth: Annotated[float, typer.Option(help="Degrees around the vertical axis.")] = 30.0,
    title: Annotated[str | None, typer.Option(help="Line above the figure.")] = None,
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw input | models | ground truth from the clouds that every trial keeps.

    Objects are chosen by a rule that is printed, never by hand. A .html turns with the mouse and
    needs no network. `ratios` and `ablation` take the best trial of each value.

    Examples:
      ss3d figure comparison runs/a runs/b --label ours --label "no HFA" -o a.png
      ss3d figure ratios paper -o ratios.pdf --rows 9
      ss3d figure ablation paper --by model.use_hfa -o hfa.pdf
      ss3d figure viewpoints paper/t00017 --pick hash -o views.html
      ss3d figure limitations runs/a --rows 3 -o limits.png
    """
    from ss3d.report.figures_choice import choose_objects

    _check(kind, output, by)
    settings = load_settings(home=home, store=store)
    named = _named_sources(kind, sources, by, parse_assignments(where), settings)
    models = _open_models(named, label or [], settings)
    rule = pick or ("worst" if kind == "limitations" else "median")
    choice = choose_objects(models, rule, rows)
    sheet = _sheet(kind, models, choice, azimuth, title or TITLES[kind])
    _write(output, sheet)
    value = {
        "figure": str(output),
        "rule": choice.rule,
        "objects": choice.ids,
        "models": [
            {
                "label": model.label,
                "source": model.source,
                "cd_l1": model.previews.value,
                "objects": [model.previews.distances[name] for name in choice.ids],
            }
            for model in models
        ],
    }
    emit(value, as_json, lambda: _say(output, choice, models))


def _check(kind: Kind, output: Path, by: str | None) -> None:
    if output.suffix not in (".png", ".pdf", ".html"):
        raise ConfigError(f"--output: got {output.name!r}, expected .png, .pdf or .html")
    if (kind == "ablation") != (by is not None):
        expected = "an ablation needs --by PATH, e.g. --by model.use_hfa"
        raise ConfigError(f"--by: {expected}" if by is None else f"--by: not for {kind}")


def _named_sources(
    kind: Kind, sources: list[str], by: str | None, where: dict[str, Any], settings: Settings
) -> list[tuple[str, str]]:
    """Return (label, source) of every column."""
    from ss3d.report.figures_groups import RATIO, best_by

    if kind not in ("ratios", "ablation"):
        if where:
            raise ConfigError(f"--where: not for {kind}; name the trials instead")
        return [(_short_name(source), source) for source in sources]
    candidates = [one for source in sources for one in _candidates(source, settings)]
    best = best_by(candidates, by or RATIO, where)
    return [(name, candidate.source) for name, candidate in best.items()]


def _short_name(source: str) -> str:
    """Return the label of a source: the last part of a directory's path, else the source."""
    directory = local_network(source)
    if directory is None:
        return source
    return directory.resolve().parent.name if directory.name == "best" else directory.name


def _candidates(source: str, settings: Settings) -> list[Candidate]:
    """Return the trials of a study, or the one that a directory or trial is."""
    from ss3d.report.figures_groups import Candidate, candidates_of
    from ss3d.report.previews import read_previews
    from ss3d.store.opening import open_store
    from ss3d.trial.history import load_study_record

    if local_network(source) is None and "/" not in source:
        return candidates_of(load_study_record(open_store(settings.store_address), source))
    previews = read_previews(model_directory(source, settings))
    return [Candidate(source, previews.config, previews.value)]


def _open_models(
    named: list[tuple[str, str]], labels: list[str], settings: Settings
) -> list[Model]:
    from ss3d.report.figures_choice import Model
    from ss3d.report.previews import read_previews

    if len(labels) > len(named):
        raise ConfigError(f"--label: got {len(labels)} labels for {len(named)} models")
    chosen = [*labels, *(name for name, _ in named[len(labels) :])]
    return [
        Model(label, source, read_previews(model_directory(source, settings)))
        for label, (_, source) in zip(chosen, named, strict=True)
    ]


def _sheet(kind: Kind, models: list[Model], choice: Choice, azimuth: float, title: str) -> Sheet:
    from ss3d.report import figures_sheet

    draw = {"viewpoints": figures_sheet.viewpoints, "limitations": figures_sheet.limitations}
    return draw.get(kind, figures_sheet.comparison)(models, choice, azimuth, title)


def _write(output: Path, sheet: Sheet) -> None:
    if output.suffix == ".html":
        from ss3d.report.figures_viewer import write_viewer

        write_viewer(output, sheet)
        return
    from ss3d.report.figures_paper import draw_sheet

    draw_sheet(output, sheet)


def _say(output: Path, choice: Choice, models: list[Model]) -> None:
    from rich.table import Table

    table = Table("object", *(model.label for model in models), title="cd_l1")
    for name in choice.ids:
        table.add_row(name, *(f"{model.previews.distances[name]:.2f}" for model in models))
    table.add_section()
    table.add_row("all validation models", *(f"{model.previews.value:.2f}" for model in models))
    console.print(table)
    for model in models:
        console.print(f"{model.label}: {model.source}", highlight=False, soft_wrap=True)
    console.print(f"rule: {choice.rule}", highlight=False, soft_wrap=True)
    console.print(f"written: {output}", highlight=False, soft_wrap=True)
