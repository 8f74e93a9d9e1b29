"""The first sections of a study's page: what was asked, and what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ss3d.report.confirmed import Confirmed
from ss3d.report.findings import Findings
from ss3d.report.gains import Comparison, has_controls
from ss3d.report.gains_tables import counted
from ss3d.report.leaderboard import Row, duration, number, short
from ss3d.report.markup import Content, Markup, details, element, join, pairs, section

_SIGNS = {"better": "better", "worse": "worse", "not distinguishable": "unclear"}


def question(findings: Findings) -> Markup:
    """Return what the study searched for, in which space, with which budget."""
    spec = findings.study.spec
    sought = [f"{one.direction} {one.metric}" for one in findings.objectives.all]
    bounds = [json.dumps(one.as_spec()) for one in findings.objectives.constraints]
    items: list[tuple[str, Content]] = [
        ("objective", ", ".join(sought)),
        *((("constraints", ", ".join(bounds)),) if bounds else ()),
        ("data", str(spec.get("data", {}).get("name", "unknown"))),
        ("parameters", _parameters(spec.get("parameters", {}), spec.get("strata", []))),
        *(
            (("arms", ", ".join(str(arm["name"]) for arm in spec["arms"])),)
            if spec.get("arms")
            else ()
        ),
        *((("strata", ", ".join(spec["strata"])),) if spec.get("strata") else ()),
        ("sampler, pruner", f"{_named(spec, 'sampler')}, {_named(spec, 'pruner')}"),
        ("budget", _budget(findings)),
    ]
    space = [details("The search space", element("pre", spec["space"]))] if "space" in spec else []
    about = [element("p", spec["description"])] if spec.get("description") else []
    return section("The question", "question", *about, pairs(items), *space)


def answer(findings: Findings) -> Markup:
    """Return the best trial of each stratum, what it gained, and whether that was luck."""
    if not findings.best:
        return section("The answer", "answer", element("p", "No trial is complete yet."))
    confirmed = {one.trial: one for part in findings.confirmed for one in part.trials}
    cards = [_card(findings, row, confirmed) for row in findings.best]
    words = (
        f"Confirmed by {findings.confirmation}: mean ± standard deviation over fresh seeds."
        if findings.confirmation
        else "Not confirmed: the best of many trials was lucky as well; "
        f"`ss3d confirm {findings.study.name}` runs the best again with fresh seeds."
    )
    return section(
        "The answer", "answer", element("div", *cards, class_="cards"), element("p", _code(words))
    )


def gain_words(comparison: Comparison | None, with_verdict: bool = True) -> Markup:
    """Return a gain with its interval and, if wanted, verdict; or a dash with the reason."""
    gain = comparison.gain if comparison else None
    if gain is None:
        reason = comparison.reason if comparison else ""
        return element("span", "–", title=reason) if reason else Markup("–")
    interval = element("small", f"{gain.low:+.2f} to {gain.high:+.2f}")
    verdict = element("span", gain.verdict, class_=f"verdict {_SIGNS[gain.verdict]}")
    return join([f"{gain.mean:+.3f}", interval, *[verdict] * with_verdict], " ")


def _card(findings: Findings, row: Row, confirmed: Mapping[str, Confirmed]) -> Markup:
    metrics = findings.objectives.metrics
    stratum = describe_stratum(row.stratum)
    gains = findings.gains.get(row.trial)
    items: list[tuple[str, Content]] = [
        *((metric, number(row.values.get(metric))) for metric in metrics[1:]),
        *[("over its control", _gain(gains.over_control if gains else None))]
        * has_controls(findings.study.spec),
        ("over its start", _gain(gains.over_pretrained if gains else None)),
        *_confirmation(row, confirmed),
        ("trained", f"{counted(row.epochs, 'epoch')}, {duration(row.seconds)}"),
    ]
    own = {path: value for path, value in row.params.items() if path not in row.stratum}
    values = [
        element("li", element("span", path), " ", element("b", short(value)))
        for path, value in sorted(own.items())
    ]
    return element(
        "article",
        element("h3", f"{stratum}: {row.trial}" if stratum else f"Trial {row.trial}"),
        element("p", number(row.value), " ", element("small", metrics[0]), class_="value"),
        pairs(items),
        element("ul", *values, class_="values"),
        class_="card",
    )


def _gain(comparison: Comparison | None) -> Markup:
    """Return a gain, or in words why there is none."""
    if comparison is None or comparison.gain is not None:
        return gain_words(comparison)
    return element("small", f"none: {comparison.reason}")


def describe_stratum(stratum: Mapping[str, Any]) -> str:
    """Return a stratum as a heading: `labeled_ratio 0.1`."""
    parts = [f"{path.rpartition('.')[2]} {short(value)}" for path, value in stratum.items()]
    return ", ".join(parts)


def _confirmation(row: Row, confirmed: Mapping[str, Confirmed]) -> list[tuple[str, Content]]:
    """Return what fresh seeds say of a trial, if it was confirmed."""
    one = confirmed.get(row.trial)
    if one is None or one.mean is None:
        return []
    spread = "" if one.sd is None else f" ± {one.sd:.3f}"
    chance = "" if one.probability is None else f", {one.probability:.0%} the best"
    seeds = element("small", f"{len(one.values)} seeds{chance}")
    return [("fresh seeds", join([f"{one.mean:.3f}{spread}", seeds], " "))]


def _parameters(declared: Mapping[str, Any], strata: list[str]) -> Markup:
    lines = [
        element("li", element("code", path), f" {_range(given)}")
        for path, given in declared.items()
        if path not in strata
    ]
    return element("ul", *lines) if lines else Markup("none")


def _range(given: Mapping[str, Any]) -> str:
    if "choices" in given:
        return ", ".join(short(one) for one in given["choices"])
    scale = given.get("scale", "linear")
    ends = f"{given.get('low')} to {given.get('high')}"
    return ends if scale == "linear" else f"{ends} ({scale})"


def _named(spec: Mapping[str, Any], table: str) -> str:
    return str(spec.get(table, {}).get("name", "unknown"))


def _budget(findings: Findings) -> str:
    others = {n: v for n, v in findings.study.spec.get("budget", {}).items() if n != "trials"}
    words = [
        counted(findings.budget, "trial"),
        *(f"{name} {value}" for name, value in others.items()),
    ]
    counts = ", ".join(f"{count} {state}" for state, count in sorted(findings.counts.items()))
    return f"{', '.join(words)}; {counts or 'none begun'}"


def _code(text: str) -> Markup:
    """Return a sentence whose parts between backticks are code."""
    parts = text.split("`")
    return join(element("code", part) if place % 2 else part for place, part in enumerate(parts))
