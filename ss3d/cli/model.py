"""`ss3d model`: what a network is made of, what it costs, and the network as an ONNX file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ss3d.cli.opening import DeviceOption, HomeOption, StoreOption, model_directory, pick_device
from ss3d.cli.options import SetOption, parse_assignments
from ss3d.cli.output import JsonFlag, console, emit, errors
from ss3d.config import PRESETS, TrialConfig
from ss3d.errors import ConfigError
from ss3d.settings import load_settings

app = typer.Typer(help="The network: parameters, cost, ONNX.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Describe or export the network."""


@app.command()
def info(
    preset: Annotated[str, typer.Option(help="paper, small or tiny.")] = "paper",
    assignments: SetOption = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Measure the presets and every ablation, too.")
    ] = False,
    device: DeviceOption = "cpu",
    as_json: JsonFlag = False,
) -> None:
    """Count parameters and floating-point operations per module, at batch 1.

    With --compare: parameters, operations, latency and peak memory of every preset, and of every
    ablation of the chosen one.

    Examples:
      ss3d model info --preset small --set model.decoder=mlp
      ss3d model info --compare --device cuda --json
    """
    config = TrialConfig.from_preset(preset).override(parse_assignments(assignments))
    if compare:
        _compare(preset, config, device, as_json)
    else:
        _count(preset, config, as_json)


@app.command()
def export(
    model: Annotated[
        str, typer.Argument(help="Train directory, STUDY/t00017 or models:/NAME@champion.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="network.onnx.")],
    home: HomeOption = None,
    store: StoreOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a network as one ONNX file: pictures (B, 3, S, S) in [0, 1] to clouds (B, N, 3).

    Pictures are squares over the background that training saw, cut as
    `ss3d predict` cuts them. The file is kept only if ONNX Runtime gives the
    network's clouds within 1e-4. Needs the extra packages of
    `pip install 'ss3d[onnx]'`.

    Examples:
      ss3d model export models:/chairs@champion -o chairs.onnx
    """
    import torch

    from ss3d.trial.export import load_network
    from ss3d.trial.onnx_file import write_onnx

    if output.suffix != ".onnx":
        raise ConfigError(f"--output: got {output.name!r}, expected a name in .onnx")
    directory = model_directory(model, load_settings(home=home, store=store))
    network, config = load_network(directory, torch.device("cpu"))
    difference = write_onnx(output, network, config)
    value = {
        "model": model,
        "file": str(output),
        "bytes": output.stat().st_size,
        "images": [None, 3, config.data.image_size, config.data.image_size],
        "clouds": [None, config.model.num_points, 3],
        "largest_difference": difference,
    }
    text = f"written: {output} ({value['bytes']:,} bytes), within {difference:.1e} of the network"
    emit(value, as_json, lambda: console.print(text, highlight=False, soft_wrap=True))


def _count(preset: str, config: TrialConfig, as_json: bool) -> None:
    from ss3d.model.counting import count_flops, count_parameters, meta_network

    size = config.data.image_size
    parameters = count_parameters(meta_network(config.model, size))
    flops = count_flops(config.model, size)

    def show() -> None:
        table = Table("module", title=f"{preset}, {size} x {size} pixels")
        table.add_column("parameters", justify="right")
        table.add_column("MFLOP", justify="right")
        for name in [*(n for n in parameters if n != "total"), "total"]:
            table.add_row(name, f"{parameters[name]:,}", f"{flops[name] / 1e6:,.1f}")
        console.print(table)

    emit({"parameters": parameters, "flops": flops}, as_json, show)


def _compare(preset: str, config: TrialConfig, device: str, as_json: bool) -> None:
    """Measure the presets as they are, and the chosen configuration with every ablation."""
    import torch

    from ss3d.model.efficiency import ablations, measure_cost

    target = pick_device(device)
    lines: list[tuple[str, TrialConfig, dict[str, Any]]] = [
        (preset, config, {}),
        *((name, config, changes) for name, changes in ablations(config).items()),
        *((name, TrialConfig.from_preset(name), {}) for name in PRESETS if name != preset),
    ]
    costs = []
    for name, base, changes in lines:
        costs.append(measure_cost(name, base, changes, target))
        if not as_json:
            errors.print(f"measured {name}", highlight=False)
    hardware = torch.cuda.get_device_name(target) if target.type == "cuda" else "CPU"
    value = {
        "device": str(target),
        "hardware": hardware,
        "threads": torch.get_num_threads(),
        "networks": [asdict(cost) for cost in costs],
    }

    def show() -> None:
        where = hardware if target.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        table = Table(title=f"one image, fp32, {where}", title_justify="left")
        table.add_column("network", no_wrap=True)
        for heading in ("pixels", "M parameters", "GFLOP", "ms (median)", "runs", "peak MiB"):
            table.add_column(heading, justify="right")
        for cost in costs:
            table.add_row(
                cost.name,
                str(cost.image_size),
                f"{cost.parameters / 1e6:.2f}",
                f"{cost.flops / 1e9:.2f}",
                f"{1000 * cost.latency_s:.1f}",
                str(cost.runs),
                f"{cost.peak_bytes / 2**20:.1f}",
            )
        console.print(table)

    emit(value, as_json, show)
