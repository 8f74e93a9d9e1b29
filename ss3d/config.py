"""Every knob of a trial on one page.

The dotted paths (`semi.ema_decay`) are a contract: search spaces, leaderboard columns and
pretrain keys use them. Every field is marked `P1` (it changes the pretrained state, so it enters
the pretrain key), `P2` (it acts in the teacher-student phase only) or `UNSUP` (there, and only
through the unlabeled images or the teacher: without them, as in a control, it does nothing).
Defaults are those of the `paper` preset.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ss3d.errors import ConfigError


@dataclass(frozen=True)
class Mark:
    """The earliest phase in which a field acts."""

    phase: Literal["pretrain", "semi"]
    unlabeled_only: bool = False
    """Whether the field leaves a student that sees no unlabeled image as it is."""


P1 = Mark("pretrain")
P2 = Mark("semi")
UNSUP = Mark("semi", unlabeled_only=True)

Unit = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


class Group(BaseModel):
    """Base of all groups: frozen, unknown fields forbidden, docstrings become descriptions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class DataConfig(Group):
    """What a trial sees of the data set; where the data lies is a setting."""

    categories: Annotated[tuple[str, ...] | None, P1] = None
    """Categories by synset id or name; null takes all of the data set."""
    labeled_ratio: Annotated[float, Field(gt=0, le=1), P1] = 0.2
    """Share of training models whose cloud is used; stratified by category and nested."""
    category_balance: Annotated[Unit, P1] = 0.0
    """Draw a labeled model of a category of n models n to the power of minus this as often; 1
    draws all categories alike."""
    split_seed: Annotated[NonNegativeInt, P1] = 0
    """Seed of the labeled/unlabeled permutation."""
    image_size: Annotated[int, Field(ge=32, le=512), P1] = 224
    """Side of the network's square input in pixels."""
    crop: Annotated[float, Field(ge=0.75, le=1), P1] = 127 / 137
    """Side kept by the weak view's random crop and by the center crop of evaluation."""
    background: Annotated[int, Field(ge=0, le=255), P1] = 255
    """Gray level behind transparent pixels in weak views and in evaluation."""
    use_mask: Annotated[bool, P1] = False
    """Photos with masks (Pix3D): True shows the background color outside the mask."""
    num_target_points: Annotated[int, Field(ge=16), P1] = 1024
    """Points of the target cloud: a random subset in training, a fixed one in evaluation."""
    num_val_models: Annotated[Count | None, P1] = None
    """Cap on validation models; null takes all."""
    flip: Annotated[bool, P1] = False
    """Mirror half of the weak views, and the labeled cloud with its image (x to -x)."""


class ModelConfig(Group):
    """The SS3D network (method sections 2 to 7)."""

    name: Annotated[Literal["ss3d"], P1] = "ss3d"
    """The network family."""
    preset: Annotated[Literal["paper", "small", "tiny"], P1] = "paper"
    """The preset the configuration started from; informative."""
    backbone: Annotated[Literal["resnet50", "cnn"], P1] = "resnet50"
    """Image encoder: ResNet-50 (paper) or a small group-normalized CNN."""
    cnn_widths: Annotated[tuple[Count, ...], P1] = (32, 64, 128, 256)
    """Channels of the CNN's stride-2 layers; multiples of 8; ignored by ResNet-50."""
    image_features: Annotated[Literal["layer3", "layer4"], P1] = "layer4"
    """ResNet-50 stage that gives the image tokens: stride 16 or 32."""
    weights: Annotated[str | None, P1] = None
    """sha256 of ResNet-50 weights in the store (`ss3d weights add`); null starts at random."""
    freeze_backbone: Annotated[bool, P1] = False
    """Keep the image encoder's weights fixed in both phases."""
    width: Annotated[int, Field(ge=16, le=1024), P1] = 256
    """Common width d of image tokens and point features; a multiple of 16."""
    num_heads: Annotated[Count, P1] = 8
    """Attention heads H of the heterogeneous attention (eqs. 1-5); must divide `width`."""
    num_decoder_heads: Annotated[Count | None, P1] = None
    """Heads of the decoder; null uses `num_heads`; must divide the last stage width."""
    num_hfa_layers: Annotated[int, Field(ge=1, le=4), P1] = 1
    """Layers of heterogeneous feature attention."""
    use_hfa: Annotated[bool, P1] = True
    """False is the ablation of Table 4: the mean image token is added to the point features."""
    semantic_input: Annotated[Literal["both", "image", "fused"], P1] = "both"
    """What the semantic module compresses (eq. 11)."""
    num_points: Annotated[int, Field(ge=32, le=16384), P1] = 1024
    """Points N of the shell and of the prediction; a checkpoint is tied to it."""
    shell_radius: Annotated[Positive, P1] = 0.5
    """Radius of the spherical shell in object units."""
    stage_widths: Annotated[tuple[Count, Count, Count], P1] = (32, 64, 128)
    """Channels of the three deformation stages."""
    num_neighbors: Annotated[int, Field(ge=2, le=64), P1] = 16
    """Neighbors k of each point, itself included."""
    num_basis: Annotated[Count, P1] = 18
    """Rows of the orthogonal semantic basis of each stage."""
    style_width: Annotated[Count, P1] = 128
    """Width of the geometric code and of the compressed attribute encoding."""
    decoder: Annotated[Literal["self_attention", "mlp"], P1] = "self_attention"
    """`mlp` is the ablation of Table 6."""
    num_decoder_blocks: Annotated[int, Field(ge=1, le=4), P1] = 1
    """Self-attention blocks of the decoder."""
    graph: Annotated[Literal["sphere", "feature", "coords"], P1] = "sphere"
    """Neighbors on the shell, in feature space, or on intermediate coordinates."""
    progressive_coords: Annotated[bool, P1] = False
    """Predict coordinates after every stage, with an auxiliary Chamfer loss of weight 0.1."""
    theta: Annotated[Literal["layer_norm", "point_transformer"], P1] = "layer_norm"
    """Position encoding of the blocks: Linear 3-c, LN, ReLU, Linear c-c; or the original Point
    Transformer's Linear 3-3, batch norm, ReLU, Linear 3-c (frozen like that of `semi.bn_mode`)."""

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        decoder_heads = self.num_decoder_heads or self.num_heads
        checks = [
            ("width", self.width % 16 == 0, f"got {self.width}, expected a multiple of 16"),
            (
                "num_heads",
                self.width % self.num_heads == 0,
                f"got {self.num_heads}, expected a divisor of model.width = {self.width}",
            ),
            (
                "num_decoder_heads",
                self.decoder == "mlp" or self.stage_widths[-1] % decoder_heads == 0,
                f"got {decoder_heads}, expected a divisor of the last of model.stage_widths = "
                f"{self.stage_widths[-1]}",
            ),
            (
                "stage_widths",
                all(c % 4 == 0 and c % min(8, c // 4) == 0 for c in self.stage_widths),
                f"got {self.stage_widths}, expected multiples of 4 that min(8, c/4) divides",
            ),
            (
                "num_neighbors",
                self.num_neighbors <= self.num_points,
                f"got {self.num_neighbors}, expected at most model.num_points = {self.num_points}",
            ),
            (
                "cnn_widths",
                all(c % 8 == 0 for c in self.cnn_widths),
                f"got {self.cnn_widths}, expected multiples of 8",
            ),
            (
                "graph",
                self.graph != "coords" or self.progressive_coords,
                "got 'coords', which needs model.progressive_coords = true",
            ),
        ]
        for field, holds, message in checks:
            if not holds:
                raise ValueError(f"model.{field}: {message}")
        return self


class PretrainConfig(Group):
    """Supervised pretraining (method section 8.2)."""

    steps: Annotated[Count, P1] = 40_000
    """Optimizer steps at most."""
    epochs: Annotated[Count, P1] = 20
    """Epochs the steps are cut into; each ends with validation and a checkpoint."""
    patience: Annotated[Count, P1] = 5
    """Epochs without a better validation value after which pretraining ends."""
    batch_size: Annotated[Count, P1] = 24
    """Labeled images per step."""
    lr: Annotated[Positive, P1] = 3e-4
    """Peak learning rate of AdamW; 3 % warm-up, then cosine to 1 %."""
    backbone_lr_mult: Annotated[NonNegative, P1] = 0.1
    """Factor on the learning rate of the ResNet-50 trunk."""
    weight_decay: Annotated[NonNegative, P1] = 1e-4
    """AdamW's weight decay; not on norms, biases, positions and the semantic basis."""
    lambda_orth: Annotated[NonNegative, P1] = 100.0
    """Weight of the orthogonality loss (eq. 19)."""
    aug_strength: Annotated[Unit, P1] = 0.3
    """Strength of the photometric augmentation of labeled images."""
    grad_clip: Annotated[Positive, P1] = 1.0
    """Largest gradient norm."""
    seed: Annotated[NonNegativeInt, P1] = 0
    """Seed of the weights and of the order, views and augmentation of pretraining."""


class SemiConfig(Group):
    """The teacher-student phase (method section 9)."""

    enabled: Annotated[bool, P2] = True
    """False is the ablation of Table 5: the trial ends with its pretrained state."""
    steps: Annotated[Count, P2] = 20_000
    """Optimizer steps."""
    epochs: Annotated[Count, P2] = 20
    """Epochs the steps are cut into; rungs count these."""
    labeled_batch: Annotated[Count, P2] = 8
    """Labeled images per step."""
    unlabeled_batch: Annotated[Count, UNSUP] = 8
    """Unlabeled images per step; each is seen in one weak and two strong views."""
    lr: Annotated[Positive, P2] = 3e-5
    """Peak learning rate of AdamW."""
    backbone_lr_mult: Annotated[NonNegative, P2] = 0.1
    """Factor on the learning rate of the ResNet-50 trunk."""
    weight_decay: Annotated[NonNegative, P2] = 1e-4
    """AdamW's weight decay."""
    lambda_orth: Annotated[NonNegative, P2] = 100.0
    """Weight of the orthogonality loss."""
    ema_decay: Annotated[float, Field(ge=0, lt=1), UNSUP] = 0.999
    """Decay of the teacher's moving average."""
    ema_warmup: Annotated[NonNegativeInt, UNSUP] = 0
    """Offset t0 of the warm-up min(1 - 1/(t + t0), decay); 0 keeps the decay constant."""
    aug_strength: Annotated[Unit, UNSUP] = 0.6
    """Strength of the strong views."""
    label_aug_strength: Annotated[Unit, P2] = 0.3
    """Strength of the augmentation of labeled images."""
    fp_magnitude: Annotated[float, Field(ge=0, le=0.8), UNSUP] = 0.5
    """Magnitude of the feature perturbation: dropout rate or relative noise."""
    fp_mode: Annotated[Literal["dropout", "noise"], UNSUP] = "dropout"
    """Channel dropout (UniMatch) or Gaussian noise."""
    fp_view: Annotated[Literal["weak", "strong"], UNSUP] = "weak"
    """Which view of the unlabeled image the perturbed branch sees."""
    fp_where: Annotated[Literal["image_map", "tokens", "points"], UNSUP] = "image_map"
    """Which features are perturbed."""
    lambda_u: Annotated[NonNegative, UNSUP] = 1.0
    """Weight of the unsupervised loss (eq. 22)."""
    w_fp: Annotated[Unit, UNSUP] = 0.5
    """Share of the perturbed branch in the unsupervised loss; the strong views share the rest."""
    ramp: Annotated[Unit, UNSUP] = 0.1
    """Fraction of the phase over which `lambda_u` rises linearly from 0."""
    unsup_eps: Annotated[NonNegative, UNSUP] = 0.01
    """Smoothing of pseudo-label distances in object units; 0 is the paper's distance."""
    unsup_distance: Annotated[Literal["cd", "cd+idx"], UNSUP] = "cd"
    """`cd+idx` adds the index-wise distance with weight 0.1."""
    conf_weight: Annotated[NonNegative, UNSUP] = 0.0
    """Temperature of the confidence weight exp(-CD/t) from two weak views; 0 is off."""
    bn_mode: Annotated[Literal["frozen", "train"], P2] = "frozen"
    """Batch-norm statistics of ResNet-50: those of pretraining, or updated."""
    grad_clip: Annotated[Positive, P2] = 1.0
    """Largest gradient norm."""
    seed: Annotated[NonNegativeInt, P2] = 0
    """Seed of the order, views, augmentation and perturbation of this phase."""


class NumericsConfig(Group):
    """What decides the last bits; acts in both phases."""

    threads: Annotated[Count, P1] = 1
    """CPU threads of the trial; other numbers give other bits."""
    precision: Annotated[Literal["fp32", "bf16"], P1] = "fp32"
    """Autocast of the network; distances, norms and averages stay in fp32."""
    deterministic: Annotated[bool, P1] = True
    """Use deterministic kernels only."""


class TrialConfig(Group):
    """All that decides a trial's outcome, together with the data and the code."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    pretrain: PretrainConfig = PretrainConfig()
    semi: SemiConfig = SemiConfig()
    numerics: NumericsConfig = NumericsConfig()

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        if self.semi.bn_mode == "train" and self.model.backbone != "resnet50":
            raise ValueError(
                "semi.bn_mode: got 'train', expected 'frozen' with model.backbone = "
                f"'{self.model.backbone}', which has no batch norm"
            )
        if self.model.weights is not None and self.model.backbone != "resnet50":
            raise ValueError("model.weights: weights are for model.backbone = 'resnet50' only")
        for group, steps, epochs in (
            ("pretrain", self.pretrain.steps, self.pretrain.epochs),
            ("semi", self.semi.steps, self.semi.epochs),
        ):
            if epochs > steps:
                raise ValueError(
                    f"{group}.epochs: got {epochs}, expected at most {group}.steps = {steps}"
                )
        return self

    @classmethod
    def from_preset(cls, name: str) -> TrialConfig:
        """Return the configuration of a preset: `paper`, `small` or `tiny` (method section 15).

        Raises:
            ConfigError: there is no such preset.
        """
        if name not in PRESETS:
            raise ConfigError(f"preset: got {name!r}, expected one of {', '.join(PRESETS)}")
        return cls().override(PRESETS[name])

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> TrialConfig:
        """Validate a nested mapping, as read from JSON or TOML.

        Raises:
            ConfigError: unknown path or value out of range; lists every one.
        """
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(_describe(error)) from error

    def override(self, values: Mapping[str, Any]) -> TrialConfig:
        """Return a copy with dotted paths replaced, validated as a whole.

        Args:
            values: dotted path to value, e.g. `{"semi.ema_decay": 0.99}`.

        Raises:
            ConfigError: unknown path or value out of range; lists every one.
        """
        tree = self.model_dump()
        for path, value in values.items():
            group, _, field = path.partition(".")
            if field not in tree.get(group, {}):
                raise ConfigError(unknown_path(path))
            tree[group][field] = value
        return self.parse(tree)

    def flatten(self) -> dict[str, Any]:
        """Return every value under its dotted path, as JSON types."""
        tree = self.model_dump(mode="json")
        return {f"{g}.{f}": value for g, fields in tree.items() for f, value in fields.items()}

    def control(self) -> TrialConfig:
        """Return the supervised control: the same labeled images and steps, no unlabeled image.

        `semi.lambda_u` is 0 and all that no longer acts has its default, so trials that differ in
        nothing else have the same control.
        """
        defaults = {f"semi.{f}": i.default for f, i in SemiConfig.model_fields.items()}
        idle = {path: defaults[path] for path, mark in field_marks() if mark == UNSUP}
        return self.override({**idle, "semi.lambda_u": 0.0})

    def pretrain_fields(self) -> dict[str, Any]:
        """Return the values that decide the pretrained state: every field marked P1."""
        values = self.flatten()
        return {path: values[path] for path, mark in field_marks() if mark == P1}


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "small": {
        "model.preset": "small",
        "model.backbone": "cnn",
        "model.width": 64,
        "model.num_heads": 4,
        "model.num_decoder_heads": 1,  # 4 heads take half as long again on a CPU
        "model.stage_widths": (16, 32, 32),
        "model.num_neighbors": 8,
        "model.num_basis": 16,
        "model.style_width": 64,
        "data.image_size": 64,
        "data.flip": True,
        "data.category_balance": 0.5,
        "pretrain.steps": 2000,
        "pretrain.batch_size": 16,
        "pretrain.lr": 2e-3,
        "semi.steps": 200,
        "semi.epochs": 10,
        "semi.lr": 2e-4,
        "semi.ema_decay": 0.99,
        "semi.fp_magnitude": 0.2,
    },
    "tiny": {
        "model.preset": "tiny",
        "model.backbone": "cnn",
        "model.cnn_widths": (32, 64, 128, 128),
        "model.width": 32,
        "model.stage_widths": (16, 32, 32),
        "model.num_points": 128,
        "model.num_neighbors": 8,
        "model.num_basis": 8,
        "model.style_width": 32,
        "data.image_size": 64,
        "data.num_target_points": 256,
        "pretrain.steps": 200,
        "pretrain.epochs": 10,
        "pretrain.batch_size": 8,
        "pretrain.lr": 2e-3,
        "semi.steps": 120,
        "semi.epochs": 12,
        "semi.labeled_batch": 4,
        "semi.unlabeled_batch": 4,
        "semi.lr": 3e-4,
        "semi.ema_decay": 0.97,
        "semi.fp_magnitude": 0.2,
    },
}


def field_marks() -> Iterator[tuple[str, Mark | None]]:
    """Yield every dotted path with its mark (None where a field has none: a test refuses that)."""
    for group, info in TrialConfig.model_fields.items():
        assert isinstance(info.annotation, type)
        assert issubclass(info.annotation, Group)
        for field, field_info in info.annotation.model_fields.items():
            marks = [item for item in field_info.metadata if isinstance(item, Mark)]
            yield f"{group}.{field}", marks[0] if marks else None


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(value: object) -> str:
    """Return the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def unknown_path(path: str) -> str:
    """Return the message for a path that does not exist, with the nearest that does."""
    known = [name for name, _ in field_marks()]
    near = difflib.get_close_matches(path, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; `ss3d config` lists all"
    return f"{path}: there is no such parameter{hint}"


def _describe(error: ValidationError) -> str:
    """Turn pydantic's report into one line per fault: path, got, expected."""
    lines = []
    for fault in error.errors():
        path = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(unknown_path(path))
        elif fault["type"] == "value_error":  # ours, from a validator: names its own path
            lines.append(str(fault["ctx"]["error"]))
        else:
            expected = fault["msg"].removeprefix("Input should be ")
            lines.append(f"{path}: got {fault['input']!r}, expected {expected}")
    return "\n".join(lines)
