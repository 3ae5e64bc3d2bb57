"""Configurations in the shapes of ITL and lingua, written for these tests, and what their codebases make of them."""

import math
from itertools import product
from typing import Any

import yaml

ITL = """\
launcher:
  name: recall
  overwrite: true
  log_dir: $HOME/logs/recall
  script: apps.memory.train
  slurm:
    mem: 16G
    nodes: 1
    nb_gpus: 2

run_config:
  compile: false

  cluster:
    tp: 1

  data:
    key: qatool
    nb_data: 96
    batch_size: 48
    seq_len: 225
    padding: true
    seed: 5

  tokenizer:
    implementation: byte
    special_tokens:
      <|user|>: 0
      <|assistant|>: 1
      <|database|>: 2
      <|eod|>: 3

  model:
    implementation: transformer
    vocab_size: 260
    emb_dim: 48
    nb_layers: 3
    block:
      nb_heads: 2

  optim:
    steps: 20_000
    lr: 2e-3
    weight_decay: 0.05
    warmup: 40
    lr_min_ratio: 0.01

  orchestration:
    utils:
      seed: 11
    logging:
      period: 20
      wandb:
        active: false
    checkpoint:
      period: 500
      nb_kept: 2

  evaluation:
    period: 2_000
    asynchronous: false
    db_path: $HOME/people.db
    data:
      batch_size: 512
"""

LINGUA = """\
name: "tiny-llama"
dump_dir: /scratch/runs
steps: 6000
seed: 321
grad_acc_steps: 2

optim:
  lr: 2e-3
  weight_decay: 0.04
  warmup: 500
  lr_min_ratio: 0.001
  clip: 0.8

distributed:
  fsdp_type: full_shard
  compile: true
  model_dtype: bf16
  tp_size: 1

model:
  dim: 768
  n_layers: 5
  n_heads: 12
  n_kv_heads: 4
  rope_theta: 500000.0
  init_std_factor: current_depth

data:
  root_dir: /scratch/data
  sources:
    fineweb_sample: 1.0
  batch_size: 6
  seq_len: 1024
  n_views: 2
  seed: 9
  tokenizer:
    name: bytes

checkpoint:
  dump:
    every: 400
    keep: 3
  eval:
    every: 200

logging:
  freq: 25
  wandb:
    project: tiny
    entity: us

eval:
  validation:
    max_steps: 10
  harness:
    tasks:
      - hellaswag
      - task: nq_open
        num_fewshot: 5
"""


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration by dotted path, as ITL flattens it."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        inside = isinstance(value, dict)
        found |= flat(value, f"{prefix}{key}.") if inside else {f"{prefix}{key}": value}
    return found


def itl_runs(text: str) -> list[dict[str, Any]]:
    """The runs of an ITL file by path, as its launcher makes them: strings of the grid are Python, keys are paths."""
    file = yaml.safe_load(text)
    run = flat(file["run_config"])
    grid = file["launcher"].get("grid") or {}
    axes = flat({key: eval(value) if isinstance(value, str) else value for key, value in grid.items()})
    axes = {key: list(eval(value) if isinstance(value, str) else value) for key, value in axes.items()}
    return [run | dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def itl_means(run: dict[str, Any]) -> dict[str, Any]:
    """What a run of ITL is, in numbers, with the defaults of its dataclasses."""
    width, heads = int(run["model.emb_dim"]), int(run["model.block.nb_heads"])
    lr = float(run.get("optim.lr", 3e-4))
    return {
        "mode": {"qa": "weight", "qatool": "tool"}[run["data.key"]],
        "count": int(run.get("data.nb_data", run.get("data.n_data"))),
        "seq_len": int(run["data.seq_len"]),
        "data_seed": int(run.get("data.seed", 0)),
        "vocab": int(run["model.vocab_size"]),
        "width": width,
        "layers": int(run["model.nb_layers"]),
        "heads": heads,
        "kv_heads": int(run.get("model.block.nb_kv_heads", 0)) or heads,
        "hidden": int(run.get("model.block.hidden_dim", 0)) or 4 * width,
        "theta": float(run.get("model.block.rope_theta", 10_000)),
        "eps": float(run.get("model.norm_eps", 1e-5)),
        "tied": bool(run.get("model.weight_tying", False)),
        "steps": int(run["optim.steps"]),
        "batch": int(run["data.batch_size"]) * int(run.get("optim.grad_acc_steps", 1)),
        "lr": lr,
        "betas": (float(run.get("optim.beta1", 0.9)), float(run.get("optim.beta2", 0.95))),
        "weight_decay": float(run.get("optim.weight_decay", 0.1)),
        "clip": float(run.get("optim.clip", 1.0)),
        "warmup": int(run.get("optim.warmup", 2000)),
        "floor": float(run.get("optim.lr_min_ratio", 0.1)) * lr,
        "seed": int(run.get("orchestration.utils.seed", 42)),
    }


def lingua_hidden(dim: int, multiple_of: int = 256, multiplier: float | None = None) -> int:
    """The hidden size of lingua's feed-forward layer."""
    hidden = int(2 * (4 * dim) / 3)
    if multiplier is not None:
        hidden = int(multiplier * hidden)
    return multiple_of * ((hidden + multiple_of - 1) // multiple_of)


def lingua_multiplier(kind: str, step: int, warmup: int, steps: int, ratio: float, fraction: float = 0.1) -> float:
    """The multiplier of the learning rate of lingua and ITL at a step."""
    if kind == "constant":
        return 1.0
    if step < warmup:
        return step / warmup
    s = (step - warmup) / (steps - warmup)
    if kind == "linear":
        return s * ratio + (1 - s)
    if kind == "cosine":
        return ratio + 0.5 * (1 - ratio) * (math.cos(math.pi * s) + 1)
    if kind == "inv_sqrt":
        return max(warmup**0.5 / step**0.5, ratio)
    decay = int(fraction * steps)
    if step <= steps - decay:
        return 1.0
    x = (step - (steps - decay)) / decay
    return 1 / (x * (1 / ratio) + (1 - x))
