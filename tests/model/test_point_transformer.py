import pytest
import torch

from ss3d.model.point_transformer import (
    Graph,
    PointTransformerBlock,
    gather,
    position_encoding,
)


def random_graph(batch: int, points: int = 20, k: int = 5) -> Graph:
    index = torch.stack(
        [torch.stack([torch.randperm(points)[:k] for _ in range(points)]) for _ in range(batch)]
    )
    return Graph(index, torch.randn(batch, points, k, 3))


def test_gather_takes_neighbors_shared_or_per_sample():
    features = torch.randn(3, 20, 4)
    shared, own = random_graph(1).index, random_graph(3).index
    assert torch.equal(gather(features, shared)[2, 7, 1], features[2, shared[0, 7, 1]])
    assert torch.equal(gather(features, own)[2, 7, 1], features[2, own[2, 7, 1]])
    assert torch.equal(gather(features[:1], own)[2, 7, 1], features[0, own[2, 7, 1]])


@pytest.mark.parametrize("theta", ["layer_norm", "point_transformer"])
def test_block_equals_its_formula_at_one_point(theta):
    torch.manual_seed(0)
    block = PointTransformerBlock(6, 16, negative_slope=0.2, theta=theta).eval()
    graph, x = random_graph(1), torch.randn(1, 20, 6)
    query, key, value = block.project(block.enter(x)).chunk(3, dim=-1)
    i, c, groups = 4, 16, 4
    logits, sent = [], []
    for j, offset in zip(graph.index[0, i], graph.offsets[0, i], strict=True):
        delta = block.theta(offset[None])[0]
        logits.append(block.omega(key[0, j] - query[0, i] + delta))
        sent.append(value[0, j] + delta)
    weights = torch.stack(logits).softmax(dim=0)
    attended = torch.stack(
        [
            sum(weights[n, channel % groups] * sent[n][channel] for n in range(5))
            for channel in range(c)
        ]
    )
    expected = block.activation(block.leave(attended) + block.shortcut(x[0, i]))
    assert torch.allclose(block(x, graph)[0, i], expected, atol=1e-6)


@pytest.mark.parametrize("theta", ["layer_norm", "point_transformer"])
def test_order_of_neighbors_does_not_matter(theta):
    block = PointTransformerBlock(8, 8, negative_slope=0.0, theta=theta)
    graph, x = random_graph(2), torch.randn(2, 20, 8)
    order = torch.randperm(5)
    permuted = Graph(graph.index[:, :, order], graph.offsets[:, :, order])
    assert torch.allclose(block(x, graph), block(x, permuted), atol=1e-6)


@pytest.mark.parametrize("graph_batch", [1, 3])
def test_row_of_a_batch_equals_the_sample_alone(graph_batch: int):
    block = PointTransformerBlock(8, 16, negative_slope=0.0)
    graph, x = random_graph(graph_batch), torch.randn(3, 20, 8)
    alone = Graph(*(part[-1:] for part in graph))
    assert torch.allclose(block(x, graph)[2:], block(x[2:], alone), atol=1e-6)


@pytest.mark.parametrize("theta", ["layer_norm", "point_transformer"])
def test_no_parameter_is_without_effect(theta):
    block = PointTransformerBlock(6, 16, negative_slope=0.2, theta=theta)
    graph, x = random_graph(2), torch.randn(2, 20, 6)
    (block(x, graph) * torch.randn(16)).sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-5, name


def test_original_theta_by_hand():
    """Identity, batch statistics of the pairs, ReLU, one output channel that adds the three."""
    theta = position_encoding(1, "point_transformer")
    with torch.no_grad():
        theta[0].weight.copy_(torch.eye(3))
        theta[3].weight.fill_(1.0)
        theta[3].bias.fill_(0.5)
    offsets = torch.tensor([[[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]]).unsqueeze(0)  # x: 0 +- 1
    expected = torch.tensor([1.5, 0.5]).view(1, 1, 2, 1)
    torch.testing.assert_close(theta(offsets), expected, atol=1e-5, rtol=0)
    norm = theta[1]
    torch.testing.assert_close(norm.running_var, torch.tensor([0.9 + 0.1 * 2, 0.9, 0.9]))
    norm.running_mean.fill_(1.0)  # eval: x -> (x - 1) / sqrt(1.1), y and z -> -1 / sqrt(0.9)
    theta.eval()
    torch.testing.assert_close(theta(offsets), torch.full((1, 1, 2, 1), 0.5))


def test_original_theta_sees_all_pairs_in_training_and_none_of_the_others_after_it():
    theta = position_encoding(8, "point_transformer")
    offsets = torch.randn(3, 20, 5, 3)
    together = theta(offsets)
    assert not torch.allclose(together[:1], theta(offsets[:1]), atol=1e-4)
    theta.eval()
    torch.testing.assert_close(theta(offsets)[:1], theta(offsets[:1]))


def test_frozen_statistics_of_theta_survive_training_mode():
    theta = position_encoding(8, "point_transformer")
    theta[1].freeze_statistics()
    before = theta[1].running_mean.clone()
    theta.train()(torch.randn(4, 6, 5, 3) + 1)
    assert torch.equal(theta[1].running_mean, before)
    assert theta[1].weight.requires_grad
