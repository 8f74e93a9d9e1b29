import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ss3d.config import TrialConfig
from ss3d.data.views import normalize
from ss3d.errors import ConfigError, OutcomeError
from ss3d.model.network import Network, build_network
from ss3d.trial.onnx_file import compare_onnx, write_onnx


@pytest.fixture(scope="module")
def network(quick_config: TrialConfig) -> Network:
    network = build_network(quick_config.model, quick_config.data.image_size, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for tensor in network.parameters():  # the initial network ignores its image: move it away
        tensor.data.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    return network


@pytest.mark.slow
def test_onnx_runtime_gives_the_clouds_of_the_network_for_any_batch(
    network: Network, quick_config: TrialConfig, tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra packages ss3d[onnx]")
    path = tmp_path / "new" / "network.onnx"
    assert write_onnx(path, network, quick_config) <= 1e-4
    assert [file.name for file in path.parent.iterdir()] == ["network.onnx"]
    session = runtime.InferenceSession(path)
    pictures = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    (clouds,) = session.run(None, {"images": pictures.numpy()})
    with torch.inference_mode():
        expected = network(normalize(pictures)).numpy()
    np.testing.assert_allclose(clouds, expected, atol=1e-4)
    assert np.abs(clouds[0] - clouds[1]).max() > 1e-3  # it does look at the picture
    other = build_network(quick_config.model, 32, seed=1).eval()
    with pytest.raises(OutcomeError, match="clouds differ by"):
        compare_onnx(path, other, quick_config)


def test_what_is_not_installed_is_told(
    network: Network, quick_config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"pip install 'ss3d\[onnx\]'"):
        write_onnx(tmp_path / "network.onnx", network, quick_config)
