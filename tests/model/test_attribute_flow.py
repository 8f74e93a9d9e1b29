import pytest
import torch

from ss3d.model.attribute_flow import (
    GeometryModule,
    SemanticBasis,
    SemanticModule,
    adaptive_instance_norm,
    orthogonality,
)


def test_adain_with_scale_1_and_shift_0_normalizes_each_channel():
    features = 3 + 5 * torch.randn(2, 200, 4)
    ones = torch.ones(2, 200, 4)
    normalized = adaptive_instance_norm(features, ones, 0 * ones)
    assert torch.allclose(normalized.mean(dim=1), torch.zeros(2, 4), atol=1e-5)
    assert torch.allclose(normalized.var(dim=1, correction=0), torch.ones(2, 4), atol=1e-4)


def test_adain_applies_scale_and_shift_per_point():
    features = torch.randn(2, 50, 3)
    scale, shift = torch.randn(2, 50, 3), torch.randn(2, 50, 3)
    plain = adaptive_instance_norm(features, torch.ones(1), torch.zeros(1))
    expected = scale * plain + shift
    assert torch.allclose(adaptive_instance_norm(features, scale, shift), expected, atol=1e-6)


def test_adain_keeps_its_statistics_in_fp32_inside_autocast():
    features = 100 + torch.randn(1, 1000, 2)
    expected = adaptive_instance_norm(features, torch.ones(1), torch.zeros(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = adaptive_instance_norm(features, torch.ones(1), torch.zeros(1))
    assert torch.equal(inside, expected)


def test_orthogonality_of_orthonormal_rows_is_zero():
    rows = torch.linalg.qr(torch.randn(50, 8)).Q.T
    assert orthogonality(rows).item() == pytest.approx(0, abs=1e-12)


def test_orthogonality_of_doubled_rows_by_hand():
    rows = 2 * torch.eye(3, 10)  # U U^T = 4 I: 3 entries of 9 off by 3
    assert orthogonality(rows).item() == pytest.approx(3 * 9 / 9)


def test_basis_starts_orthonormal_with_falling_importance():
    basis = SemanticBasis(num_basis=6, num_points=40, channels=4, code_width=8)
    assert orthogonality(basis.basis).item() < 1e-12
    assert basis.importance.tolist() == [18, 15, 12, 9, 6, 3]
    assert not basis.mean.any()


def test_semantic_term_is_eq_11_by_hand():
    basis = SemanticBasis(num_basis=2, num_points=3, channels=4, code_width=5)
    torch.nn.init.normal_(basis.mean)
    attributes = torch.randn(2, 5)
    codes = basis.code(attributes)
    flat = (
        sum(basis.importance[i] * codes[1, i] * basis.basis[i] for i in range(2))
        + basis.mean.flatten()
    )
    assert torch.allclose(basis(attributes)[1], basis.mix(flat.view(3, 4)), atol=1e-5)


def test_geometry_equals_one_mlp_on_the_concatenation():
    module = GeometryModule(width=8, style_width=6)
    shell, points, token = torch.randn(1, 10, 3), torch.randn(2, 10, 8), torch.randn(2, 8)
    joined = torch.cat(
        (shell.expand(2, -1, -1), points, token.unsqueeze(1).expand(-1, 10, -1)), dim=-1
    )
    leaky = torch.nn.functional.leaky_relu
    expected = leaky(module.second(leaky(module.first(joined))))
    assert torch.allclose(module(shell, points, token), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "reads_image", "reads_fused"),
    [("both", True, True), ("image", True, False), ("fused", False, True)],
)
def test_semantic_module_reads_what_it_is_told(source, reads_image: bool, reads_fused: bool):
    module = SemanticModule(8, 6, source)
    image, fused = torch.randn(2, 8), torch.randn(2, 8)
    attributes = module(image, fused)
    assert attributes.shape == (2, 6)
    assert torch.equal(module(image + 1, fused), attributes) != reads_image
    assert torch.equal(module(image, fused + 1), attributes) != reads_fused
