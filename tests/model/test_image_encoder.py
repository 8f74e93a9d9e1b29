from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ss3d.errors import CheckpointError, ConfigError
from ss3d.model.image_encoder import (
    GroupNormTrunk,
    ImageEncoder,
    ResNetTrunk,
    torchvision_weights,
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """What torchvision's ResNet-50 would save, with a classifier."""
    torch.manual_seed(1)
    trunk = ResNetTrunk("layer4").state_dict()
    return {**trunk, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize(("size", "side"), [(64, 4), (32, 2), (137, 9)])
def test_number_of_tokens_is_that_of_the_feature_map(size: int, side: int):
    trunk = GroupNormTrunk((8, 16, 16, 8))
    encoder = ImageEncoder(trunk, size, 24)
    assert trunk(torch.randn(2, 3, size, size)).shape == (2, 8, side, side)
    assert encoder(torch.randn(2, 3, size, size), lambda _, x: x).shape == (2, side * side, 24)


@pytest.mark.parametrize(
    ("features", "channels", "side"), [("layer3", 1024, 9), ("layer4", 2048, 5)]
)
def test_resnet_stages_have_their_stride(features, channels: int, side: int):
    with torch.device("meta"):
        encoder = ImageEncoder(ResNetTrunk(features), 137, 16)
        assert encoder.trunk(torch.empty(1, 3, 137, 137)).shape == (1, channels, side, side)
    assert encoder.positions.shape == (1, side * side, 16)


@pytest.mark.parametrize("features", ["layer3", "layer4"])
def test_weights_with_torchvisions_names_are_taken(features, state, tmp_path: Path):
    save_file(state, tmp_path / "weights.safetensors")
    trunk = ResNetTrunk(features)
    trunk.load(tmp_path / "weights.safetensors")
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_names_are_those_of_torchvision():
    from torchvision.models import resnet50

    with torch.device("meta"):
        expected = {n for n in resnet50(weights=None).state_dict() if not n.startswith("fc.")}
        assert set(ResNetTrunk("layer4").state_dict()) == expected


def test_weights_that_do_not_fit_are_refused_by_name(state, tmp_path: Path):
    wrong = {name: value for name, value in state.items() if name != "bn1.weight"}
    wrong["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    wrong["head.weight"] = torch.zeros(1)
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(CheckpointError) as caught:
        ResNetTrunk("layer4").load(tmp_path / "wrong.safetensors")
    message = str(caught.value)
    assert "bn1.weight is missing" in message
    assert "head.weight is unknown" in message
    assert "conv1.weight has shape (64, 1, 7, 7), expected (64, 3, 7, 7)" in message
    assert "3 differences" in message


def test_a_file_that_is_not_safetensors_is_refused(tmp_path: Path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        ResNetTrunk("layer4").load(path)
    with pytest.raises(CheckpointError, match="gone"):
        ResNetTrunk("layer4").load(tmp_path / "gone")


def test_an_unknown_name_of_weights_is_refused():
    with pytest.raises(ConfigError, match="IMAGENET1K_V1"):
        torchvision_weights("IMAGENET")
