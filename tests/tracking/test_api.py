import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracking_records import make_trial

import ss3d
from ss3d.errors import ConfigError
from ss3d.settings import Settings
from ss3d.trial.records import TrialRecord

PutTrial = Callable[[TrialRecord], None]


def test_a_study_is_a_table_of_its_trials(settings: Settings, put_trial: PutTrial) -> None:
    put_trial(make_trial(0))
    put_trial(make_trial(1, "complete", value=11, ratio=0.2))
    study = ss3d.load_study("demo", home=settings.home)
    table = study.trials()
    assert list(table.columns) == [
        "trial",
        "state",
        "data.labeled_ratio",
        "semi.ema_decay",
        "semi.fp_magnitude",
        "semi.lr",
        "val/cd_l1",
        "epochs",
        "seconds",
    ]
    assert table["trial"].tolist() == ["t00000", "t00001"]
    assert table["state"].tolist() == ["running", "complete"]
    assert table["data.labeled_ratio"].tolist() == [0.1, 0.2]
    assert np.isnan(table["val/cd_l1"][0])
    assert table["val/cd_l1"][1] == 9.5
    assert table["epochs"].tolist() == [0, 3]
    assert table["seconds"].tolist() == [0, 8]
    put_trial(make_trial(2, "pruned"))
    assert len(study.trials()) == 3
    assert study.spec["objective"]["metric"] == "val/cd_l1"


def test_a_study_that_is_not_there_is_an_error_at_once(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="study 'nothing': not in the store"):
        ss3d.load_study("nothing", home=settings.home)


def test_a_model_is_a_function_of_images(
    settings: Settings, put_trial: PutTrial, tmp_path: Path
) -> None:
    put_trial(make_trial(0, "complete"))
    pixels = np.full((80, 60, 4), 255, dtype=np.uint8)
    pixels[20:60, 15:45, :3] = 90
    Image.fromarray(pixels).save(tmp_path / "chair.png")
    model = ss3d.load_model("demo/t00000", home=settings.home)
    clouds = model([tmp_path / "chair.png", pixels])
    assert clouds.shape == (2, 64, 3)
    np.testing.assert_array_equal(clouds[0], clouds[1])
    np.testing.assert_array_equal(model(pixels), model.predict(pixels))


def test_importing_ss3d_is_light_and_names_its_functions() -> None:
    heavy = ("torch", "mlflow", "pandas", "numpy", "pydantic", "ray", "optuna")
    code = (
        "import sys, ss3d; assert {'load_model', 'load_study'} <= set(dir(ss3d)); "
        f"print([name for name in {heavy} if name in sys.modules]); "
        f"ss3d.load_study; print([name for name in {heavy[:3]} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]
    with pytest.raises(AttributeError, match="load_dog"):
        _ = ss3d.load_dog
