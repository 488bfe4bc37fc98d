from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.utils._python_dispatch import TorchDispatchMode

from softaug.models.shakedrop import Shake, ShakeDrop, apply_shake, draw_shake, drop_probability

CPU = torch.device("cpu")


class Literal(torch.autograd.Function):
    """The definition, word by word: forward x or alpha x, backward gradient or beta gradient."""

    @staticmethod
    def forward(ctx: Any, branch: Tensor, shake: Shake) -> Tensor:
        ctx.kept, ctx.beta = bool(shake.kept), shake.beta.to(branch.dtype)[:, None, None, None]
        return branch.clone() if ctx.kept else shake.alpha.to(branch.dtype)[:, None, None, None] * branch

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> Any:
        kept, beta = ctx.kept, ctx.beta
        return (gradients[0] if kept else beta * gradients[0]), None


def cubed(shaken: Tensor, branch: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values and the gradient of a loss whose gradient depends on them."""
    return shaken.detach(), torch.autograd.grad((shaken**3).sum(), branch)[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [False, True])
def test_values_and_gradients_are_exactly_those_of_the_literal_function(kept: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    branch = torch.randn(5, 3, 4, 4, dtype=dtype, requires_grad=True)
    shake = draw_shake(5, p_drop=0.5, device=CPU)._replace(kept=torch.tensor(kept))
    values, gradient = cubed(apply_shake(branch, shake), branch)
    expected_values, expected_gradient = cubed(Literal.apply(branch, shake), branch)
    assert values.dtype == gradient.dtype == dtype
    assert torch.equal(values, expected_values)
    assert torch.equal(gradient, expected_gradient)
    assert torch.equal(values, branch) is kept


@pytest.mark.parametrize("p_drop", [0.0, 1.0])
def test_the_layer_trains_as_the_literal_function(p_drop: float) -> None:
    branch = torch.randn(6, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(1)
    found = cubed(ShakeDrop(p_drop)(branch), branch)
    torch.manual_seed(1)
    shake = draw_shake(6, p_drop=p_drop, device=CPU)
    assert shake.kept.item() is (p_drop == 0)
    expected = cubed(Literal.apply(branch, shake), branch)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_where_both_factors_agree_the_gradient_is_the_numerical_one() -> None:
    branch = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    for kept, factors in ((True, torch.zeros(3)), (False, torch.tensor([0.1, 0.5, 0.9]))):
        shake = Shake(torch.tensor(kept), factors, factors)
        assert torch.autograd.gradcheck(lambda x, s=shake: apply_shake(x, s), (branch,))


def test_blocks_are_kept_as_often_as_they_should() -> None:
    torch.manual_seed(0)
    branch = torch.ones(2, 1, 1, 1)
    for p_drop in (0.1, 0.5):
        layer = ShakeDrop(p_drop)
        kept = sum(torch.equal(layer(branch), branch) for _ in range(2_000))
        assert stats.binomtest(kept, 2_000, 1 - p_drop).pvalue > 1e-3


def test_all_samples_of_a_batch_are_kept_or_dropped_together() -> None:
    torch.manual_seed(0)
    branch = torch.ones(8, 1, 1, 1)
    changed = {int((ShakeDrop(0.5)(branch) != branch).sum()) for _ in range(40)}
    assert changed == {0, 8}


def test_factors_are_uniform_and_independent_and_every_sample_has_its_own() -> None:
    torch.manual_seed(0)
    branch = torch.ones(20_000, 2, 1, 1, requires_grad=True)
    shaken = ShakeDrop(1.0)(branch)
    (gradient,) = torch.autograd.grad(shaken.sum(), branch)
    assert torch.equal(shaken[:, 0], shaken[:, 1])  # all of a sample has the same factor
    assert torch.equal(gradient[:, 0], gradient[:, 1])
    alpha, beta = shaken[:, 0, 0, 0].detach().numpy(), gradient[:, 0, 0, 0].numpy()
    assert stats.kstest(alpha, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(beta, stats.uniform(0, 1).cdf).pvalue > 1e-3
    assert abs(stats.pearsonr(alpha, beta).statistic) < 0.03


def test_evaluation_scales_by_the_expectation_and_draws_nothing() -> None:
    branch = torch.randn(4, 3, 2, 2)
    before = torch.get_rng_state()
    assert torch.equal(ShakeDrop(0.25).eval()(branch), branch * 0.75)
    assert torch.equal(torch.get_rng_state(), before)


def test_known_numbers() -> None:
    # Golden: other draws would make other runs of every recipe with ShakeDrop.
    torch.manual_seed(0)
    kept, alpha, beta = draw_shake(2, p_drop=0.3, device=CPU)
    assert kept.item() is True
    assert alpha.tolist() == pytest.approx([0.53644359, -0.82304513])
    assert beta.tolist() == pytest.approx([0.13203049, 0.30742282])


def test_the_probability_rises_by_the_same_step_up_to_one_half() -> None:
    probabilities = [drop_probability(block, 90) for block in range(1, 91)]
    assert probabilities == pytest.approx([block / 180 for block in range(1, 91)])
    assert probabilities[-1] == 0.5


class Devices(TorchDispatchMode):
    """Notes the device of every tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.seen |= {part.device.type for part in torch.utils._pytree.tree_leaves(made) if isinstance(part, Tensor)}
        return made


def test_everything_happens_on_the_branchs_device_and_no_value_is_looked_at() -> None:
    branch = torch.ones(4, 2, 3, 3, device="meta", requires_grad=True)  # there are no values to look at
    with Devices() as devices:
        ShakeDrop(0.5)(branch).sum().backward()
    assert devices.seen == {"meta"}


def test_it_compiles_as_one_graph() -> None:
    layer = ShakeDrop(0.5)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    branch = torch.randn(3, 2, 2, 2)
    for seed in range(4):
        torch.manual_seed(seed)
        expected = layer(branch)
        torch.manual_seed(seed)
        assert torch.equal(compiled(branch), expected)


def test_the_memory_format_stays() -> None:
    branch = torch.randn(2, 4, 3, 3).to(memory_format=torch.channels_last)
    for layer in (ShakeDrop(0.5).train(), ShakeDrop(0.5).eval()):
        assert layer(branch).is_contiguous(memory_format=torch.channels_last)
