import pytest
import torch
from torch.nn import functional as F

from ss3d.model.attention import MultiHeadAttention, attend
from ss3d.model.hetero_attention import HeteroAttention, MeanTokenAddition


def heads(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def test_rows_of_weights_sum_to_one():
    query, key = heads(0, 2, 4, 10, 8), heads(1, 2, 4, 7, 8)
    ones = torch.ones_like(key)
    assert torch.allclose(attend(query, key, ones), torch.ones_like(query))


def test_weights_of_two_keys_by_hand():
    query = torch.tensor([[[[2.0, 0.0, 0.0, 0.0]]]])
    key = torch.tensor([[[[1.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0]]]])
    value = torch.tensor([[[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]]])
    expected = torch.softmax(torch.tensor([2.0 / 2.0, 0.0]), 0)  # q k / sqrt(4)
    assert torch.allclose(attend(query, key, value)[0, 0, 0, :2], expected)


def test_identical_keys_give_the_mean_value():
    query, value = heads(0, 1, 2, 5, 4), heads(1, 1, 2, 6, 4)
    key = torch.ones_like(value)
    expected = value.mean(dim=2, keepdim=True).expand_as(query)
    assert torch.allclose(attend(query, key, value), expected)


@pytest.mark.parametrize(("batch_q", "batch_k"), [(3, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("block", [1 << 20, 20])
def test_cpu_kernel_equals_the_fused_one(
    batch_q: int, batch_k: int, block: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ss3d.model.attention.BLOCK_ELEMENTS", block)
    inputs = heads(0, batch_q, 2, 11, 4), heads(1, batch_k, 2, 7, 4), heads(2, batch_k, 2, 7, 4)
    expanded = [x.expand(3, -1, -1, -1) for x in inputs]
    ours, fused = attend(*inputs), F.scaled_dot_product_attention(*expanded)
    assert torch.allclose(ours, fused)
    outer = heads(3, 3, 2, 11, 4)
    for a, b in zip(
        torch.autograd.grad(ours, inputs, outer),
        torch.autograd.grad(fused, inputs, outer),
        strict=True,
    ):
        assert torch.allclose(a, b)


@pytest.mark.parametrize("num_heads", [1, 2, 4, 8, 16])
def test_hetero_attention_keeps_shapes_for_all_numbers_of_heads(num_heads: int):
    layers = HeteroAttention(32, num_heads, num_layers=2)
    points, tokens = layers(torch.randn(1, 20, 32), torch.randn(3, 9, 32))
    assert points.shape == (3, 20, 32)
    assert tokens.shape == (3, 9, 32)


def test_heads_must_divide_the_width():
    with pytest.raises(AssertionError):
        MultiHeadAttention(32, 5)


def test_shared_points_equal_expanded_points():
    layers = HeteroAttention(16, 4)
    points, tokens = torch.randn(1, 20, 16), torch.randn(3, 9, 16)
    shared, expanded = layers(points, tokens), layers(points.expand(3, -1, -1), tokens)
    for a, b in zip(shared, expanded, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_both_directions_read_the_features_before_the_update():
    layer = HeteroAttention(16, 4).layers[0]
    points, tokens = torch.randn(2, 20, 16), torch.randn(2, 9, 16)
    _, updated = layer(points, tokens)
    alone = layer.tokens_update(tokens + layer.to_tokens(tokens, points))
    assert torch.equal(updated, alone)


def test_tokens_reach_points_and_points_reach_tokens():
    layer = HeteroAttention(16, 4)
    points = torch.randn(2, 20, 16, requires_grad=True)
    tokens = torch.randn(2, 9, 16, requires_grad=True)
    new_points, new_tokens = layer(points, tokens)
    weights = torch.randn(16)  # a plain sum of a layer norm is constant
    assert torch.autograd.grad((new_points @ weights).sum(), tokens, retain_graph=True)[0].any()
    assert torch.autograd.grad((new_tokens @ weights).sum(), points)[0].any()


def test_ablation_adds_the_mean_token_and_leaves_tokens():
    layer = MeanTokenAddition(16)
    points, tokens = torch.randn(1, 20, 16), torch.randn(3, 9, 16)
    new_points, new_tokens = layer(points, tokens)
    assert new_tokens is tokens
    added = layer.linear(tokens.mean(dim=1))
    assert torch.allclose(new_points[2, 7], points[0, 7] + added[2], atol=1e-6)
