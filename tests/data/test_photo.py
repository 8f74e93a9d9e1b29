import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss3d.data.photo import cut_object, fit_square
from ss3d.errors import DataError

HEIGHT, WIDTH = 30, 50
PHOTO = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
MASK = np.full((HEIGHT, WIDTH), 255, np.uint8)


@given(st.data())
def test_every_pixel_is_the_photo_or_white_padding(data):
    """Without resampling (the side is 1.2 times the box) the square is a shifted copy."""
    edge = data.draw(st.sampled_from((5, 10, 20, 25)))
    short = data.draw(st.integers(1, edge))
    width, height = data.draw(st.sampled_from(((edge, short), (short, edge))))
    left = data.draw(st.integers(0, WIDTH - width))
    top = data.draw(st.integers(0, HEIGHT - height))
    side = round(1.2 * edge)
    square = cut_object(PHOTO, MASK, (left, top, left + width, top + height), side)
    wide = np.pad(
        np.dstack((PHOTO, MASK)).astype(int), ((60, 60), (60, 60), (0, 0)), constant_values=-1
    )
    x, y = round(left + (width - side) / 2) + 60, round(top + (height - side) / 2) + 60
    wanted = wide[y : y + side, x : x + side]
    padding = wanted[..., 3] == -1
    assert (square[~padding] == wanted[~padding]).all()
    assert (square[padding] == (255, 255, 255, 0)).all()


def test_what_lies_outside_the_photo_does_not_count():
    inside = cut_object(PHOTO, MASK, (40, 20, 50, 30), 12)
    assert (cut_object(PHOTO, MASK, (40, 20, 1e9, 1e9), 12) == inside).all()


@pytest.mark.parametrize("box", [(60, 0, 70, 10), (10, 5, 10, 9), (20, 5, 10, 9), (-9, 0, 0, 9)])
def test_box_beside_the_photo_is_named(box):
    with pytest.raises(DataError, match="but the image has 50x30 pixels"):
        cut_object(PHOTO, MASK, box, 12)


def test_colors_outside_the_mask_survive_resampling():
    photo = np.full((40, 40, 3), (10, 200, 60), np.uint8)
    square = cut_object(photo, np.zeros((40, 40), np.uint8), (5, 5, 30, 30), 17)
    assert np.unique(square.reshape(-1, 4), axis=0).tolist() == [[10, 200, 60, 0]]


@pytest.mark.parametrize("shape", [(10, 20), (20, 10), (20, 20)])
def test_whole_pictures_keep_their_proportions(shape):
    square = fit_square(np.full((*shape, 4), 200, np.uint8), 20)
    rows, columns = np.nonzero(square[..., 3])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == shape
    assert rows.mean() == columns.mean() == 9.5
