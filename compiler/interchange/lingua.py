"""Configurations of Meta Lingua (apps/main): text in JSON lines, learnt by a Llama.

    name, seed, steps, grad_acc_steps, optim {}, distributed {}, model {}, data {}, checkpoint {}, logging {}, eval {}

Defaults are those of its code: AdamW with lr 3e-4, decay 0.1 of everything, clipping at 1, 2,000 steps of warm-up, a
cosine down to a tenth; hidden sizes are two thirds of 4 x width, rounded up to a multiple of 256.
"""

from __future__ import annotations

from decimal import Decimal

from .config import Config
from .draft import Block, Draft, decimal, number, path, quoted, words
from .names import block_name
from .shared import PER_DEVICE, adamw, checkpoints, schedule, split_batch, tokenizer_file

GRID = "grid"
NAMES = ("bytes", "pieces", "llama", "held_out")
CHUNKS = "*.chunk.*.jsonl"
ANYWAY = {"distributed.tp_size": "1", "distributed.dp_shard": "1", "distributed.dp_replicate": "1", "data.n_views": "2"}
NOT_CARRIED = {
    "dump_dir": "runs go to the run store (`lmc run --store`)",
    "distributed": "this version trains on one device",
    "distributed.dp_shard": PER_DEVICE,
    "distributed.dp_replicate": PER_DEVICE,
    "model.seed": "`seed` of the training draws the weights",
    "model.max_seqlen": "it is that of the data",
    "data.sources": "a source that stands alone has no weight",
    "data.prefetch_size": "data are read ahead by themselves",
    "data.load_async": "data are read ahead by themselves",
    "data.n_views": "every position predicts the next token",
    "data.add_bos": "`document_end` parts documents; none begins with a token of its own",
    "data.tokenizer.path": "bytes need no file",
    "checkpoint.eval.keep": "`keep` of the training says which checkpoints stay",
    "profiling": "a light profile is always on (`lmc profile`)",
    "probe_freq": "write a `probe : activations {}` at the sites that matter",
    "logging": "records are always written",
    "env": "the environment is no part of an experiment",
    "eval": "the evaluation on held-out text is carried over, and nothing else of it",
    "eval.harness": "this version has no harness of tasks",
    "eval.generator": "write an `eval : generate {}` with a prompt",
    "async_eval_gpus": "evaluations run where the training does",
    "gc_collect_freq": "how a process collects garbage changes no result",
}


def recognises(config: Config) -> bool:
    """Whether a configuration is one of lingua."""
    return any(config.has(key) for key in ("model.dim", "model.n_layers", "data.root_dir", "distributed"))


def convert(config: Config) -> Draft:
    """Return the blocks that a configuration says; mistakes are recorded in it."""
    tokenizer = _tokenizer(config.under("data.tokenizer"))
    data = _data(config.under("data"), tokenizer)
    model = _model(config.under("model"), tokenizer)
    steps = config.whole("steps", 1000) or 0
    batch, micro = split_batch(config.under("data"), config.whole("grad_acc_steps", 1) or 1, default=2)
    taken = [*NAMES, *(block.name for block in data)]
    train = Block("train", block_name(config.text("name"), "lingua", taken))
    fields: dict[str, str | Block] = {"model": model.name, "data": data[-1].name}
    fields |= {"steps": number(steps), "batch": batch} | ({"micro_batch": micro} if micro else {})
    fields["seed"] = str(config.whole("seed", 42))
    optim = config.under("optim")
    fields["optim"] = adamw(optim)
    fields["schedule"] = _schedule(optim, steps)
    fields |= _precision(config.under("distributed"))
    fields |= _tracked(config.under("logging.wandb"))
    every, evaluated = Block("every"), "checkpoint.eval.every"
    checkpoints(fields, every, config, "checkpoint.dump.every", "checkpoint.dump.keep", "logging.freq", evaluated)
    train.fields = fields
    evals = []
    if config.has("eval.validation"):
        most = config.whole("eval.validation.max_steps")
        examples: dict[str, str | Block] = {"examples": str(most * int(batch))} if most else {}
        evals.append(Block("eval", "held_out", "loss", {"run": train.name, "split": quoted("valid"), **examples}))
    reach = {tokenizer.name: "data.tokenizer.", data[-1].name: "data.", model.name: "model."}
    implied = {"model.mixer.kv_heads": str(model.fields["mixer"].fields["heads"])}  # type: ignore[union-attr]
    return Draft(train, [tokenizer, *data, model], evals, reach, implied)


def advice(draft: Draft) -> list[str]:
    """Return what to know about a spec that comes from a configuration."""
    if any(block.variant == "hf" for block in draft.blocks):
        return ["A SentencePiece model is read from the tokenizer.json of the same tokenizer"]
    return []


def _tokenizer(config: Config) -> Block:
    kinds = {"bytes": "byte", "sp": "hf", "tiktoken": "tiktoken"}
    kind = config.choice("name", kinds, "bytes")
    fields: dict[str, str | Block] = {}
    if kind == "tiktoken":
        fields |= tokenizer_file(config)
    elif kind == "hf":
        folder = config.text("path").rpartition("/")[0]
        fields["file"] = f"file({path(folder, 'tokenizer.json')})"
    fields["specials"] = words({"byte": ["<|bos|>", "<|eos|>"], "hf": ["</s>"], "tiktoken": ["<|end_of_text|>"]}[kind])
    return Block("tokenizer", "bytes" if kind == "byte" else "pieces", kind, fields)


def _data(data: Config, tokenizer: Block) -> list[Block]:
    """Return the data of every source, and behind several of them their mixture."""
    root = data.text("root_dir")
    length = number(data.whole("seq_len", 2048) or 0)
    seed = str(data.whole("seed", 42))
    end = {"byte": "<|eos|>", "hf": "</s>", "tiktoken": "<|end_of_text|>"}[tokenizer.variant]
    end = end if data.boolean("add_eos", True) else ""
    names = data.names("sources")
    weights = {name: data.number(f"sources.{name}") or Decimal(0) for name in names if len(names) > 1}
    if not names:
        data.refuse("sources", "`data.sources` names nothing to train on")
    blocks: list[Block] = []
    for name in names:
        source = Block("source", variant="jsonl", fields={"files": f"files({path(root, name, CHUNKS)})"})
        fields: dict[str, str | Block] = {"source": source, "tokenizer": tokenizer.name, "seq_len": length}
        fields |= {"document_end": quoted(end), "seed": seed}
        called = block_name(name, "corpus", [*NAMES, *(block.name for block in blocks)])
        blocks.append(Block("data", called, "text", fields))
    if len(blocks) < 2:
        return blocks or [Block("data", "corpus", "text")]
    mixed: dict[str, str | Block] = {"tokenizer": tokenizer.name, "seq_len": length, "seed": seed}
    for block, weight in zip(blocks, weights.values(), strict=True):
        part: dict[str, str | Block] = {"data": block.name, "weight": decimal(weight)}
        mixed[f"part {block.name}"] = Block("part", f"{block.name}_part", fields=part)
    called = block_name("mixed", "mixed", [block.name for block in blocks])
    return [*blocks, Block("data", called, "mixture", mixed)]


def _model(model: Config, tokenizer: Block) -> Block:
    width = model.whole("dim", 512) or 0
    heads, size = model.whole("n_heads"), model.whole("head_dim")
    if heads is None and size is None:
        heads = model.require("n_heads", heads)
    mixer: dict[str, str | Block] = {"heads": str(heads or width // (size or 1))}
    kv_heads = model.whole("n_kv_heads")
    mixer |= {"kv_heads": str(kv_heads)} if kv_heads else {}
    mixer |= {"head_dim": str(size)} if size else {}
    window = model.whole("sliding_window")
    mixer |= {"window": str(window)} if window else {}
    fields: dict[str, str | Block] = {"tokenizer": tokenizer.name, "layers": str(model.whole("n_layers", 8))}
    fields |= {"width": str(width), "mixer": Block("mixer", variant="attention", fields=mixer)}
    fields["mlp"] = Block("mlp", variant="swiglu", fields={"hidden": _hidden(model, width)})
    eps, theta = model.number("norm_eps"), model.number("rope_theta")
    fields |= {"norm": Block("norm", variant="rms", fields={"eps": decimal(eps)})} if eps is not None else {}
    rope: dict[str, str | Block] = {"theta": decimal(theta)} if theta is not None else {}
    fields |= {"positions": Block("positions", variant="rope", fields=rope)} if rope else {}
    fields |= {"tied": "true"} if model.boolean("weight_tying") else {}
    init = _init(model)
    fields |= {"init": init} if init else {}
    if (model.whole("vocab_size", -1) or 0) > 0 and tokenizer.variant == "byte":
        fields["vocab"] = str(model.whole("vocab_size"))
    return Block("model", "llama", "transformer", fields)


def _hidden(model: Config, width: int) -> str:
    """Return the hidden size: an expression of the width unless a multiplier makes it inexact."""
    multiple = model.whole("multiple_of", 256) or 1
    multiplier = model.number("ffn_dim_multiplier")
    if multiplier is None:
        return f"{multiple} * ((8 * width // 3 + {multiple - 1}) // {multiple})"
    hidden = int(float(multiplier) * int(2 * (4 * width) / 3))
    return str(multiple * ((hidden + multiple - 1) // multiple))


def _init(model: Config) -> Block | None:
    residuals = {"disabled": "", "global_depth": "global", "current_depth": "depth", "dim_ratio": "width"}
    residual = model.choice("init_std_factor", residuals, "disabled")
    return Block("init", variant="llama", fields={"residual": quoted(residual)}) if residual else None


def _schedule(optim: Config, steps: int) -> Block:
    kinds = {name: name for name in ("cosine", "linear", "constant", "wsd")} | {"inv_sqrt": "inverse_sqrt"}
    kind = optim.choice("scheduler", kinds, "cosine")
    for key in {"cosine": ("cycle_length", "cosine_theta"), "wsd": ("cycle_length",)}.get(kind, ()):
        if (optim.number(key, "1") or 0) != 1:
            optim.refuse(key, f"a `{key}` other than 1 has no counterpart", "leave it out")
    if kind == "constant":
        return Block("schedule", variant="constant")
    found = schedule(optim, kind, steps)
    if found.variant == "wsd":
        share = optim.number("decay_fraction", "0.1") or Decimal(0)
        found.fields |= {"cooldown": number(int(share * steps)), "shape": quoted("lingua")}
    elif found.variant == "inverse_sqrt" and "warmup" not in found.fields:
        share = optim.number("lr_min_ratio", "0.1") or Decimal(0)
        return Block("schedule", variant="table", fields={"at": "[0]", "factors": f"[{decimal(share)}]"})
    elif found.variant == "inverse_sqrt":
        found.fields["power"] = decimal(optim.number("exp_factor", "0.5") or 0)
    return found


def _precision(distributed: Config) -> dict[str, str | Block]:
    fields: dict[str, str | Block] = {}
    kind = distributed.choice("model_dtype", {"bf16": "bf16", "fp32": "fp32"}, "bf16")
    fields |= {"precision": Block("precision", fields={"compute": quoted(kind)})} if kind != "fp32" else {}
    if distributed.boolean("compile"):
        fields["compile"] = "true"
    if distributed.boolean("selective_activation_checkpointing"):
        fields["remat"] = Block("remat", fields={"blocks": quoted("blocks.*")})
    return fields


def _tracked(wandb: Config) -> dict[str, str | Block]:
    if not any(wandb.has(key) for key in ("project", "entity", "mode", "name")):
        return {}
    said: dict[str, str | Block] = {key: quoted(wandb.text(key)) for key in ("project", "entity") if wandb.has(key)}
    return {"track": Block("track", variant="wandb", fields=said)}
