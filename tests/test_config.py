"""Configuration: presets, overrides, errors that name path, got and expected."""

import pytest

from ss3d.config import P1, PRESETS, TrialConfig, field_marks, fingerprint
from ss3d.errors import ConfigError


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid_and_say_their_name(preset):
    assert TrialConfig.from_preset(preset).model.preset == preset


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(ConfigError, match="got 'huge', expected one of paper, small, tiny"):
        TrialConfig.from_preset("huge")


def test_override_replaces_and_keeps_the_original():
    config = TrialConfig()
    changed = config.override({"semi.ema_decay": 0.5, "model.num_heads": 4})
    assert (changed.semi.ema_decay, changed.model.num_heads) == (0.5, 4)
    assert (config.semi.ema_decay, config.model.num_heads) == (0.999, 8)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("semi.ema_decay", 1.5, r"semi\.ema_decay: got 1\.5, expected less than 1"),
        ("semi.ema_decy", 0.9, r"semi\.ema_decy: .*did you mean semi\.ema_decay"),
        ("ema_decay", 0.9, r"ema_decay: there is no such parameter"),
        ("model.num_heads", 3, r"model\.num_heads: got 3, expected a divisor of model\.width"),
        ("model.num_decoder_heads", 3, r"num_decoder_heads: got 3, expected a divisor of the last"),
        ("model.stage_widths", (32, 62, 128), r"stage_widths: .*multiples of 4"),
        ("model.num_points", 15, r"model\.num_points: got 15, expected greater than or equal"),
        ("model.num_neighbors", 2000, r"num_neighbors: got 2000"),
        ("data.labeled_ratio", 0, r"data\.labeled_ratio: got 0, expected greater than 0"),
        ("data.labeled_ratio", "many", r"data\.labeled_ratio: got 'many'"),
        ("model.decoder", "mpl", r"model\.decoder: got 'mpl', expected 'self_attention' or 'mlp'"),
        ("model.graph", "coords", r"model\.graph: .*progressive_coords"),
        ("semi.epochs", 30_000, r"semi\.epochs: got 30000, expected at most semi\.steps"),
        ("semi.lr", float("nan"), r"semi\.lr"),
    ],
)
def test_a_bad_value_is_named_with_path_and_range(path, value, message):
    with pytest.raises(ConfigError, match=message):
        TrialConfig().override({path: value})


def test_every_fault_of_a_file_is_listed():
    with pytest.raises(ConfigError) as caught:
        TrialConfig.parse({"semi": {"ema_decay": 2, "lr": -1}, "modle": {}})
    assert len(str(caught.value).splitlines()) == 3


def test_batch_norm_statistics_need_a_backbone_that_has_them():
    with pytest.raises(ConfigError, match=r"semi\.bn_mode: .*no batch norm"):
        TrialConfig.from_preset("tiny").override({"semi.bn_mode": "train"})


def test_flatten_and_parse_are_inverse():
    config = TrialConfig.from_preset("small").override({"data.categories": ("chair",)})
    assert TrialConfig().override(config.flatten()) == config


CHANGES = {bool: lambda v: not v, int: lambda v: v * 2 + 2, float: lambda v: v / 2 + 0.01}
OTHER = {
    "data.categories": ("chair",), "data.num_val_models": 7, "data.background": 3,
    "data.crop": 0.8, "model.name": None, "model.preset": "tiny", "model.backbone": "cnn",
    "model.cnn_widths": (8, 16), "model.image_features": "layer3", "model.weights": "ab",
    "model.num_decoder_heads": 4, "model.num_hfa_layers": 2, "model.semantic_input": "image",
    "model.stage_widths": (16, 32, 64), "model.decoder": "mlp", "model.num_decoder_blocks": 2,
    "model.graph": "feature", "model.theta": "point_transformer", "semi.ema_decay": 0.5,
    "semi.fp_magnitude": 0.1,
    "semi.fp_mode": "noise", "semi.fp_view": "strong", "semi.fp_where": "tokens",
    "semi.unsup_distance": "cd+idx", "semi.bn_mode": "train", "numerics.precision": "bf16",
    "semi.ema_warmup": 100, "model.num_neighbors": 8, "model.width": 128, "model.num_heads": 4,
}  # fmt: skip


@pytest.mark.parametrize(("path", "mark"), [m for m in field_marks() if m[0] != "model.name"])
def test_the_pretrain_fields_change_with_p1_and_only_with_p1(path, mark):
    config = TrialConfig()
    before = config.flatten()[path]
    value = OTHER[path] if path in OTHER else CHANGES[type(before)](before)
    after = config.override({path: value})
    changed = fingerprint(after.pretrain_fields()) != fingerprint(config.pretrain_fields())
    assert changed == (mark == P1)
