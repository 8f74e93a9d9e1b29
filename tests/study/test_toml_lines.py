from __future__ import annotations

import pytest

from ss3d.errors import ConfigError
from ss3d.study.toml_lines import TomlFile

TEXT = """\
top = 1

[base]
preset = "tiny"
semi.lr = 1e-3

[parameters."semi.ema_decay"]
type = "float"
choices = [
  "x = 1",
]
'high' = 2
"""


@pytest.mark.parametrize(
    ("location", "start"),
    [
        (("top",), "f.toml:1: top: "),
        (("base",), "f.toml:3: base: "),
        (("base", "semi", "lr"), "f.toml:5: base.semi.lr: "),
        (("parameters", "semi.ema_decay", "type"), 'f.toml:8: parameters."semi.ema_decay".type: '),
        (("parameters", "semi.ema_decay", "high"), 'f.toml:12: parameters."semi.ema_decay".high: '),
        (("parameters", "semi.ema_decay", "low"), 'f.toml:7: parameters."semi.ema_decay".low: '),
        (("nowhere",), "f.toml: nowhere: "),
    ],
)
def test_an_error_names_the_line_of_its_key(location: tuple[str, ...], start: str) -> None:
    assert str(TomlFile(TEXT, "f.toml").error(location, "wrong")) == start + "wrong"


def test_what_is_not_toml_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"f\.toml: not valid TOML"):
        TomlFile("a = ", "f.toml")
