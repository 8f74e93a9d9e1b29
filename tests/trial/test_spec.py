"""Code version and pretrain key: what counts and what does not."""

import importlib
import sys

import pytest

from ss3d.config import TrialConfig
from ss3d.trial.spec import (
    PRETRAIN_CODE,
    TRIAL_CODE,
    hash_modules,
    imported_modules,
    pretrain_key,
)

CODE = '''"""Docstring."""
from typing import TYPE_CHECKING
from ss3d.{used} import thing
if TYPE_CHECKING:
    from ss3d.config import TrialConfig

def area(side):
    """Return it."""
    return side * side  # comment
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A throw-away package named ss3d with one importer and one leaf."""
    folder = tmp_path / "ss3d"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "leaf.py").write_text("thing = 1\n")
    (folder / "other.py").write_text("thing = 1\n")
    (folder / "config.py").write_text("TrialConfig = 1\n")
    (folder / "root.py").write_text(CODE.format(used="leaf"))
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("ss3d")}
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield folder
    for name in [n for n in sys.modules if n.startswith("ss3d")]:
        del sys.modules[name]
    sys.modules.update(kept)
    importlib.invalidate_caches()


def test_comments_docstrings_and_formatting_do_not_count(package):
    before = hash_modules("ss3d.root")
    text = (package / "root.py").read_text()
    text = text.replace("Docstring.", "Other.").replace("# comment", "").replace("):\n", " ) :\n")
    (package / "root.py").write_text(text)
    assert hash_modules("ss3d.root") == before


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("root.py", "side * side", "side * side * side", True),
        ("leaf.py", "1", "2", True),
        ("other.py", "1", "2", False),
        ("config.py", "1", "2", False),
    ],
)
def test_only_what_is_imported_to_run_counts(package, file, old, new, counts):
    before = hash_modules("ss3d.root")
    (package / file).write_text((package / file).read_text().replace(old, new))
    assert (hash_modules("ss3d.root") != before) == counts


def test_the_key_is_shared_by_trials_that_differ_in_phase_two_only():
    config = TrialConfig.from_preset("tiny")
    key = pretrain_key(config, "data")
    assert pretrain_key(config.override({"semi.ema_decay": 0.5, "semi.seed": 3}), "data") == key
    assert pretrain_key(config.override({"pretrain.seed": 3}), "data") != key
    assert pretrain_key(config, "other data") != key


def test_all_code_that_can_change_a_bit_counts_and_phase_two_not_in_pretraining():
    both = {
        "ss3d.model.network", "ss3d.model.decoder", "ss3d.points.chamfer", "ss3d.data.loader",
        "ss3d.data.splits", "ss3d.data.cache", "ss3d.data.clouds", "ss3d.data.photometric",
        "ss3d.training.evaluate", "ss3d.training.optimizer", "ss3d.trial.state",
    }  # fmt: skip
    semi = {"ss3d.training.semi", "ss3d.training.teacher", "ss3d.training.perturbation"}
    pretrain, trial = (set(imported_modules(*roots)) for roots in (PRETRAIN_CODE, TRIAL_CODE))
    assert both <= pretrain
    assert both | semi <= trial
    assert not pretrain & semi
