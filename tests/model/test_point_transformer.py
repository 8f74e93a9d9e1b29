import pytest
import torch

from ss3d.model.point_transformer import Graph, PointTransformerBlock, gather


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


def test_block_equals_its_formula_at_one_point():
    torch.manual_seed(0)
    block = PointTransformerBlock(6, 16, negative_slope=0.2)
    graph, x = random_graph(1), torch.randn(1, 20, 6)
    query, key, value = block.project(block.enter(x)).chunk(3, dim=-1)
    i, c, groups = 4, 16, 4
    logits, sent = [], []
    for j, offset in zip(graph.index[0, i], graph.offsets[0, i], strict=True):
        delta = block.theta(offset)
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


def test_order_of_neighbors_does_not_matter():
    block = PointTransformerBlock(8, 8, negative_slope=0.0)
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


def test_no_parameter_is_without_effect():
    block = PointTransformerBlock(6, 16, negative_slope=0.2)
    graph, x = random_graph(2), torch.randn(2, 20, 6)
    (block(x, graph) * torch.randn(16)).sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-5, name
