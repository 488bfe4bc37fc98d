from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from softaug.boxes import iou, random_resized_boxes
from softaug.models.resnet import resnet8, resnet18
from softaug.randomness import uniforms
from softaug.simsiam import Pair, PairWeight, Predictor, Projector, SimSiam, overlap_weight, pair_weight, simsiam_loss

GENERATOR = torch.Generator().manual_seed(0)
P1, P2, Z1, Z2 = (torch.randn(16, 8, generator=GENERATOR) for _ in range(4))
WEIGHT = torch.rand(16, generator=GENERATOR)
VIEWS = [torch.randn(6, 3, 16, 16, generator=GENERATOR) for _ in range(2)]


def small() -> SimSiam:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return SimSiam(resnet8(4, in_channels=3, classes=10), 16, dimension=12, hidden=5)


def overlaps(n: int = 100_000) -> Tensor:
    """Return the IoU of n pairs of CIFAR's random resized crops (B.4)."""
    u = uniforms(2 * n, 10, 4, generator=torch.Generator().manual_seed(2))
    boxes = random_resized_boxes(u, (32, 32), scale=(0.2, 1.0), ratio=(3 / 4, 4 / 3))
    return iou(boxes[:n], boxes[n:])


def cosine(a: list[float], b: list[float]) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / sqrt(sum(x * x for x in a)) / sqrt(sum(y * y for y in b))


def test_the_loss_is_a_literal_loop_over_pairs() -> None:
    total = 0.0
    for p1, p2, z1, z2, w in zip(*(part.tolist() for part in (P1, P2, Z1, Z2, WEIGHT)), strict=True):
        total += w * -(cosine(p1, z2) + cosine(p2, z1)) / 2
    assert simsiam_loss(P1, P2, Z1, Z2, WEIGHT).item() == pytest.approx(total / 16, abs=1e-6)


def test_the_loss_by_hand() -> None:
    p1, z2 = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [0.0, 2.0]])  # cosines 0.96 and 0
    p2, z1 = torch.tensor([[1.0, 0.0], [5.0, 0.0]]), torch.tensor([[2.0, 0.0], [-1.0, 0.0]])  # cosines 1 and -1
    loss = simsiam_loss(p1, p2, z1, z2, torch.tensor([0.5, 1.5]))
    assert loss.item() == pytest.approx((0.5 * -1.96 / 2 + 1.5 * 0.5) / 2, abs=1e-6)
    assert simsiam_loss(z2, z1, z1, z2, torch.ones(2)).item() == pytest.approx(-1)


@pytest.mark.parametrize(("form", "k", "p_min"), [("sa1", 1, 0.0), ("sa1", 4, 0.1), ("sa2", 2, 0.0), ("sa2", 4, 0.25)])
def test_weights_are_equations_9_and_10_with_mean_one(form: PairWeight, k: float, p_min: float) -> None:
    shared = torch.rand(50, generator=torch.Generator().manual_seed(3))
    literal = [1 - (1 - p_min) * ((1 - x) if form == "sa1" else x) ** k for x in shared.tolist()]
    assert overlap_weight(shared, k=k, form=form, p_min=p_min).tolist() == pytest.approx(literal, abs=1e-6)
    scaled = [w * 50 / sum(literal) for w in literal]
    assert pair_weight(shared, k=k, form=form, p_min=p_min).tolist() == pytest.approx(scaled, abs=1e-5)


def test_weights_by_hand() -> None:
    shared = torch.tensor([0.0, 0.5, 1.0])
    assert overlap_weight(shared, k=2, form="sa1").tolist() == [0.0, 0.75, 1.0]
    assert overlap_weight(shared, k=2, form="sa2").tolist() == [1.0, 0.75, 0.0]
    assert overlap_weight(shared, k=1, form="sa1", p_min=0.2).tolist() == pytest.approx([0.2, 0.6, 1.0])
    assert pair_weight(shared, k=1, form="sa1").tolist() == [0.0, 1.0, 2.0]


def test_the_numbers_of_the_method() -> None:
    # Method §1.9, torchvision's boxes on 32 x 32.
    shared = overlaps().double()
    assert shared.mean().item() == pytest.approx(0.496, abs=2e-3)
    assert (shared == 0).double().mean().item() == pytest.approx(7e-4, abs=4e-4)
    quantiles = np.quantile(shared.numpy(), [0.05, 0.25, 0.5, 0.75, 0.95])
    assert quantiles == pytest.approx([0.208, 0.354, 0.488, 0.639, 0.800], abs=5e-3)
    means: dict[PairWeight, list[float]] = {"sa1": [0.496, 0.712, 0.820, 0.881], "sa2": [0.504, 0.719, 0.826, 0.885]}
    for form, expected in means.items():
        found = [overlap_weight(shared, k=k, form=form).mean().item() for k in (1, 2, 3, 4)]
        assert found == pytest.approx(expected, abs=2e-3)
    weight = pair_weight(shared, k=4, form="sa1")
    effective = weight.sum().square() / weight.square().sum() / len(weight)
    assert effective.item() == pytest.approx(0.975, abs=1e-3)


@given(
    shared=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    k=st.floats(0.5, 8),
    p_min=st.floats(0, 1),
    form=st.sampled_from(["sa1", "sa2"]),
)
@settings(max_examples=60, deadline=None)
def test_weights_are_monotone_have_mean_one_and_are_all_zero_if_no_pair_counts(
    shared: list[float], k: float, p_min: float, form: PairWeight
) -> None:
    overlap = torch.tensor(sorted(shared))
    raw, weight = (make(overlap, k=k, form=form, p_min=p_min) for make in (overlap_weight, pair_weight))
    assert (raw >= p_min - 1e-6).all()
    assert (raw <= 1).all()
    steps = raw.diff() if form == "sa1" else -raw.diff()
    assert (steps >= -1e-6).all()
    if raw.sum() > 0:
        assert weight.mean().item() == pytest.approx(1, abs=1e-4)
    else:
        assert (weight == 0).all()


def test_no_gradient_flows_through_the_projections() -> None:
    model, (one, other) = small(), VIEWS
    pair = model(one, other)
    assert not pair.z1.requires_grad
    assert not pair.z2.requires_grad
    found = torch.autograd.grad(simsiam_loss(*pair, WEIGHT[:6]), list(model.projector.parameters()))

    def literal(stop: bool) -> tuple[Tensor, ...]:
        z1, z2 = (model.projector(model.backbone.features(view)) for view in (one, other))
        fixed = [z.clone().detach() if stop else z for z in (z1, z2)]
        loss = simsiam_loss(model.predictor(z1), model.predictor(z2), *fixed, WEIGHT[:6])
        return torch.autograd.grad(loss, list(model.projector.parameters()))

    torch.testing.assert_close(found, literal(stop=True))
    assert not torch.allclose(found[0], literal(stop=False)[0], rtol=1e-2)
    assert all((gradient != 0).any() for gradient in found)


def test_heads_are_upstreams() -> None:
    with torch.device("meta"):
        model = SimSiam(resnet18(64, in_channels=3, classes=10), 512)
    count = [sum(p.numel() for p in head.parameters()) for head in (model.projector, model.predictor)]
    assert count == [512 * 2048 + 2 * 2048 + 2048 * 2048, 2048 * 512 + 2 * 512 + 512 * 2048 + 2048]
    assert [type(layer).__name__ for layer in model.projector] == [
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Linear",
        "BatchNorm1d",
    ]
    assert [type(layer).__name__ for layer in model.predictor] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    pair = model(*(torch.empty(4, 3, 32, 32, device="meta") for _ in range(2)))
    assert {part.shape for part in pair} == {(4, 2048)}


def test_projections_have_mean_zero_and_variance_one_over_a_batch() -> None:
    z = Projector(16, 12)(torch.randn(64, 16))
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(12), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.var(dim=0, correction=0), torch.ones(12), rtol=0, atol=1e-2)


def test_a_views_statistics_are_its_own() -> None:
    model, (one, other) = small(), VIEWS
    pair, with_another = model(one, other), model(one, 5 * other + 1)
    assert torch.equal(pair.z1, with_another.z1)
    assert torch.equal(pair.p1, with_another.p1)
    assert not torch.allclose(pair.z2, with_another.z2)
    swapped = model(other, one)
    assert torch.equal(swapped.z2, pair.z1)
    assert torch.equal(swapped.p1, pair.p2)
    torch.testing.assert_close(pair.p1, model.predictor(pair.z1))


def test_no_value_is_read_on_the_host_and_the_graph_is_one() -> None:
    def step(pair: Pair, shared: Tensor) -> Tensor:
        return simsiam_loss(*pair, pair_weight(shared, k=4, form="sa1"))

    pair = Pair(P1, P2, Z1, Z2)
    assert step(Pair(*(part.to("meta") for part in pair)), WEIGHT.to("meta")).shape == ()
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(pair, WEIGHT), step(pair, WEIGHT))
    model = small().eval()
    found = torch.compile(model, fullgraph=True, backend="eager")(*VIEWS)
    torch.testing.assert_close(tuple(found), tuple(model(*VIEWS)))


def test_an_empty_batch_has_no_weights_and_no_mean() -> None:
    assert pair_weight(torch.empty(0), k=4, form="sa1").shape == (0,)
    assert simsiam_loss(P1[:0], P2[:0], Z1[:0], Z2[:0], WEIGHT[:0]).isnan()


def test_other_dtypes_shapes_and_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match=r"allowed is \(B, D\) for all"):
        simsiam_loss(P1, P2, Z1, Z2[:, 1:], WEIGHT)
    with pytest.raises(ValueError, match=r"weight \(16, 1\): allowed is \(16,\), one per pair"):
        simsiam_loss(P1, P2, Z1, Z2, WEIGHT[:, None])
    with pytest.raises(TypeError, match=r"iou of torch\.int64"):
        pair_weight(torch.ones(2, dtype=torch.int64), k=4, form="sa1")
    with pytest.raises(ValueError, match=r"k 0, p_min 0\.0: allowed are k > 0"):
        pair_weight(WEIGHT, k=0, form="sa1")
    with pytest.raises(ValueError, match=r"p_min 1\.5"):
        pair_weight(WEIGHT, k=4, form="sa1", p_min=1.5)
    with pytest.raises(ValueError, match="form 'sa3': allowed are 'sa1' and 'sa2'"):
        pair_weight(WEIGHT, k=4, form="sa3")
    with pytest.raises(TypeError, match=r"Linear is no backbone: allowed is a torch\.nn\.Module with `features`"):
        SimSiam(nn.Linear(2, 2), 2)
    assert Predictor(4, 2)(torch.ones(3, 4)).shape == (3, 4)
