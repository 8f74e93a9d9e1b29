"""Ranges as Optuna knows them; the only difference is `log1m`, which Optuna sees as 1 - x."""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from ss3d.study.parameter import Choices, FloatRange, IntRange, Parameter, Range, Value


def distribution(of: Range) -> BaseDistribution:
    """Return Optuna's distribution."""
    match of:
        case FloatRange(low, high, "log1m"):
            return FloatDistribution(1 - high, 1 - low, log=True)
        case FloatRange(low, high, scale, step):
            return FloatDistribution(low, high, log=scale == "log", step=step)
        case IntRange(low, high, scale, step):
            return IntDistribution(low, high, log=scale == "log", step=step or 1)
        case Choices(choices):
            return CategoricalDistribution(choices)


def suggest(trial: Trial, parameter: Parameter) -> None:
    """Let Optuna choose a parameter of a trial."""
    path = parameter.path
    match parameter.range:
        case FloatRange(low, high, "log1m"):
            trial.suggest_float(path, 1 - high, 1 - low, log=True)
        case FloatRange(low, high, scale, step):
            trial.suggest_float(path, low, high, log=scale == "log", step=step)
        case IntRange(low, high, scale, step):
            trial.suggest_int(path, low, high, log=scale == "log", step=step or 1)
        case Choices(choices):
            trial.suggest_categorical(path, choices)


def to_internal(of: Range, value: Value) -> Value:
    """Return Optuna's value of the configuration's."""
    match of:
        case FloatRange(low, high, "log1m"):
            return min(max(1 - float(value), 1 - high), 1 - low)
        case _:
            return value


def to_value(of: Range, internal: Value) -> Value:
    """Return the configuration's value of Optuna's; rounding never leaves the range."""
    match of:
        case FloatRange(low, high, "log1m"):
            return min(max(1 - float(internal), low), high)
        case _:
            return internal
