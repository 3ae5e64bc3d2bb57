"""Tiny folders of weights: made by transformers, and made by lmc."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmc.runtime.models.build import build_model
from lmc.runtime.models.transformer import TransformerModel
from lmc.runtime.placement import Placement
from lmc.runtime.weights import files
from lmc.runtime.weights.load import start_from
from lmc.runtime.weights.write import save_hf
from lmc.spec.diagnostic import LmcError
from lmc.spec.model import Attention, HfWeights, RMSNorm, Rope, SwiGLU, Transformer
from lmc.spec.units import FilePath

Edit = Callable[[dict[str, Any]], Any]

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
SIZES = {
    "vocab_size": 131,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CPU = Placement(torch.device("cpu"))


def theirs(kind: str = "Llama", scale: float = 1.0, **options: Any) -> Any:
    """A model of transformers with random weights, biases and gains; matrices scaled up for stress."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **options})
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.mul_(scale)
    return model


def ours(**changes: Any) -> TransformerModel:
    """A model of lmc that transformers can express, with weights in which biases and gains differ."""
    fields = {
        "vocab": 50,
        "layers": 2,
        "width": 16,
        "mixer": Attention(heads=4, kv_heads=2),
        "mlp": SwiGLU(hidden=24),
        "norm": RMSNorm(eps=1e-4),
        "positions": Rope(theta=100.0),
    }
    model = build_model(Transformer(**{**fields, **changes}), CPU, 3)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def saved(folder: Path, **changes: Any) -> TransformerModel:
    """A model of lmc and its folder."""
    model = ours(**changes)
    save_hf(model, folder, positions=64)
    return model


def tokens(vocab: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, vocab, shape, generator=torch.Generator().manual_seed(7))


def refused(action: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(LmcError) as caught:
        action()
    return caught.value.diagnostic.code, caught.value.diagnostic.message


def rewrite(path: Path, edit: Edit) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def reshape(folder: Path, edit: Edit) -> None:
    tensors = load_file(folder / files.WHOLE)
    edit(tensors)
    save_file(tensors, folder / files.WHOLE)


def shard(folder: Path) -> list[Path]:
    """Cut the folder's file into three with an index, as large repositories are."""
    tensors = load_file(folder / files.WHOLE)
    (folder / files.WHOLE).unlink()
    names = {name: f"model-{n % 3 + 1:05}-of-00003.safetensors" for n, name in enumerate(sorted(tensors))}
    for part in sorted(set(names.values())):
        save_file({name: tensors[name] for name in tensors if names[name] == part}, folder / part)
    (folder / files.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return sorted(folder.glob("model-*"))


def start(folder: Path, spec: HfWeights | None = None, seed: int = 0, **changes: Any) -> Any:
    """A model of the spec that `ours` has, with changes, started from the folder."""
    model = build_model(ours(**changes).spec, CPU, 9)
    start_from(spec or HfWeights(folder=FilePath(folder.name)), model, folder.parent, seed)
    return model
