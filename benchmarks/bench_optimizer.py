"""The cost of a step's end: gradient norm, clipping and update, and of a large vocabulary's loss, on one thread.

    python benchmarks/bench_optimizer.py [--repeat N]

Sizes: the in-tool study (0.16 M parameters) and SmolLM2-135M (134.5 M). "apart" clips in a pass of its own, as
torch.nn.utils.clip_grad_norm_ does; "folded" lets the fused rule scale. Unit: milliseconds of CPU time,
median (least to most).
"""

import argparse
import platform
import resource
import statistics
import time
from types import SimpleNamespace


def timed(function, repeat: int) -> str:
    function()
    taken = []
    for _ in range(repeat):
        began = time.process_time()
        function()
        taken.append((time.process_time() - began) * 1e3)
    return f"{statistics.median(taken):10.2f} ({min(taken):.2f} to {max(taken):.2f})"


def updates(name: str, spec, repeat: int) -> None:
    import torch

    from lmc.runtime.models.build import build_model
    from lmc.runtime.placement import Placement
    from lmc.runtime.registry import BUILDERS
    from lmc.runtime.training import ema
    from lmc.runtime.training.optimizer import gradient_norm, update
    from lmc.spec.optim import SGD, AdamW, Muon

    model = build_model(spec, Placement(torch.device("cpu")), 0)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) * 1e-3
    parameters = list(model.parameters())
    norm = gradient_norm(parameters)
    finite = norm.isfinite()
    print(f"{name}: {sum(p.numel() for p in parameters):,} parameters")
    print("  norm          ", timed(lambda: gradient_norm(parameters), repeat))
    print("  clip, apart   ", timed(lambda: torch.nn.utils.clip_grads_with_norm_(parameters, 1.0, norm), repeat))
    for rule in (AdamW(lr=1e-9), SGD(lr=1e-9), Muon(lr=1e-9)):
        optimizer = BUILDERS[type(rule)](rule, model)
        label = type(rule).__name__.lower()
        for kind, bound in (("no clip", None), ("folded", 1e9)):
            line = timed(lambda o=optimizer, b=bound: update(o, finite, norm, b), repeat)
            print(f"  {label:<6} {kind:<7}", line)
    mean = ema.start(model)
    print("  ema           ", timed(lambda: ema.update(mean, model, 0.99, 100), repeat))


def losses(positions: int, repeat: int) -> None:
    import torch

    from lmc.runtime.training import loss as module

    head = torch.nn.Linear(576, 49152, bias=False)
    hidden = torch.randn(positions, 1, 576, requires_grad=True)
    model = SimpleNamespace(
        hidden=lambda tokens, layout: hidden, head=head, unembed=head, spec=SimpleNamespace(num_ids=lambda: 49152)
    )
    batch = SimpleNamespace(
        tokens=None,
        layout=None,
        loss_index=torch.arange(positions),
        targets=torch.randint(49152, (positions,)),
        weight=torch.ones(positions),
        n_loss=positions,
    )
    print(f"loss of {positions:,} positions, 49,152 tokens, 576 channels")
    for label, size in (("64 MiB", 2**26), ("512 MiB", 2**29), ("whole", 2**40)):
        module.LOGITS_BYTES = size
        line = timed(lambda: module.batch_loss(model, batch).backward(), repeat)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  {label:<14}", line, f"peak {peak:.1f} GiB so far")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--positions", type=int, default=6144)
    chosen = options.parse_args()
    import torch

    from lmc.spec.model import Attention, SwiGLU, Transformer

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")
    tiny = Transformer(vocab=260, layers=2, width=64, mixer=Attention(heads=2, kv_heads=2), mlp=SwiGLU(hidden=256))
    large = Transformer(
        vocab=49152, layers=30, width=576, tied=True, mixer=Attention(heads=9, kv_heads=3), mlp=SwiGLU(hidden=1536)
    )
    losses(chosen.positions, chosen.repeat)
    updates("in-tool", tiny, 50 * chosen.repeat)
    updates("SmolLM2-135M", large, chosen.repeat)


if __name__ == "__main__":
    main()
