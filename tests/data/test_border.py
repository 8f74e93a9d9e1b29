import pytest
import torch

from ss3d.data.border import off_background


def test_only_border_pixels_off_the_background_count() -> None:
    white = torch.ones(4, 3, 10, 10)
    white[1, :, 2:8, 2:8] = 0  # an object that leaves the border free
    white[2] *= 0.95  # almost white
    white[3, 0, :2] = 0  # in one channel, two rows of ten
    assert off_background(white, 1.0).tolist() == pytest.approx([0, 0, 0, 20 / 64])
    assert off_background(white, 0.5).tolist() == [1, 1, 1, 1]
