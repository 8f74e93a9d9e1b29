"""The last sections of a study's page: where it comes from, and how to go on."""

from __future__ import annotations

from ss3d.report.findings import Findings
from ss3d.report.leaderboard import date
from ss3d.report.markup import Content, Markup, element, pairs, section


def lineage(findings: Findings) -> Markup:
    """Return what the study was made of: data, code, versions, machines, seeds."""
    spec = findings.study.spec
    data, code = spec.get("data", {}), spec.get("code", {})
    known: list[tuple[str, Content]] = [
        ("begun", date(spec["created_at"]) if "created_at" in spec else ""),
        ("seed", str(spec.get("seed", ""))),
        ("data set", f"{data.get('name', '')} {data.get('address', '')}"),
        ("data hash", element("code", data.get("content_hash", ""))),
        ("code of a trial", element("code", code.get("trial", ""))),
        ("code of pretraining", element("code", code.get("pretrain", ""))),
        ("versions", ", ".join(f"{n} {v}" for n, v in sorted(code.get("versions", {}).items()))),
    ]
    known += [
        ("machine", ", ".join(str(value) for value in met.values())) for met in findings.machines
    ]
    for row in findings.best[:1]:
        config = findings.trial(row.trial).spec.config
        seeds = {
            "split": config.data.split_seed,
            "pretrain": config.pretrain.seed,
            "semi": config.semi.seed,
        }
        words = ", ".join(f"{name} {seed}" for name, seed in seeds.items())
        known.append((f"seeds of {row.trial}", words))
    return section("Lineage", "lineage", pairs(known))


def next_steps(findings: Findings) -> Markup:
    """Return the commands that go on from here."""
    lines = [
        element("li", element("span", what), element("code", command))
        for what, command in next_commands(findings)
    ]
    return section("Next", "next", element("ul", *lines, class_="commands"))


def next_commands(findings: Findings) -> list[tuple[str, str]]:
    """Return what to do now, and the command that does it."""
    name = findings.study.name
    found = [
        ("Search further", f"ss3d search --name {name} --resume --trials {2 * findings.budget}")
    ]
    if findings.best:
        best = f"{name}/{findings.best[0].trial}"
        if not findings.confirmation:
            found.append(("Confirm with fresh seeds", f"ss3d confirm {name} --top 3 --seeds 3"))
        found += [
            ("Repeat the best bit by bit", f"ss3d rerun {best} --check"),
            ("Promote it", f"ss3d promote {best} --model NAME"),
            ("Draw the paper's figures", f"ss3d figure comparison {best} -o figure.png"),
        ]
    if pruned := next((row for row in findings.rows if row.state == "pruned"), None):
        found.append(("Why was one stopped?", f"ss3d why {name}/{pruned.trial}"))
    found += [
        ("All trials as a table", f"ss3d trials {name} --csv"),
        ("Browse curves and files", "ss3d ui"),
    ]
    return found
