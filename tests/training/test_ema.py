"""The mean of weights against its closed form; swapping it in and out."""

from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from lmc.runtime.training import ema


def tied(dtype: torch.dtype = torch.float32) -> nn.Module:
    model = nn.Sequential(nn.Embedding(7, 5), nn.LayerNorm(5), nn.Linear(5, 7, bias=False))
    model[2].weight = model[0].weight
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_it_is_its_closed_form(decay: float, dtype: torch.dtype) -> None:
    model, generator = tied(dtype), torch.Generator().manual_seed(0)
    mean = ema.start(model)
    seen: list[dict[str, Tensor]] = []
    for step in range(1, 21):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        seen.append({path: p.detach().double() for path, p in model.named_parameters()})
        ema.update(mean, model, decay, step)
        shares = [decay ** (step - i) for i in range(1, step + 1)]
        for path, value in mean.items():
            want = sum(share * w[path] for share, w in zip(shares, seen, strict=True)) / sum(shares)
            assert (value - want).abs().max() < 1e-5
    assert set(mean) == {"0.weight", "1.weight", "1.bias"}
    assert {value.dtype for value in mean.values()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_swap_is_undone_to_the_bit(dtype: torch.dtype) -> None:
    model = tied(dtype)
    mean = {path: torch.randn_like(value) for path, value in ema.start(model).items()}
    kept = {path: value.clone() for path, value in model.state_dict().items()}
    places = [p.data_ptr() for p in model.parameters()]
    fine = {path: value.clone() for path, value in mean.items()}
    with suppress(KeyError), ema.swapped(model, mean):
        assert torch.equal(model[2].weight, mean["0.weight"].to(dtype))
        raise KeyError
    assert all(torch.equal(value, kept[path]) for path, value in model.state_dict().items())
    assert all(torch.equal(value, fine[path]) for path, value in mean.items())
    assert places == [p.data_ptr() for p in model.parameters()]
