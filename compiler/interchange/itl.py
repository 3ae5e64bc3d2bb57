"""Configurations of ITL (nanollama; arXiv 2508.20755): dialogues about people, learnt by a small decoder.

    launcher { name, grid, slurm }   run_config { data, tokenizer, model, optim, orchestration, evaluation, cluster }

Defaults are those of its code: AdamW with lr 3e-4, decay 0.1 of everything, clipping at 1, 2,000 steps of warm-up, a
cosine down to a tenth; rotary positions count turns.
"""

from __future__ import annotations

from .config import Config
from .draft import Block, Draft, decimal, number, quoted, words
from .names import block_name
from .shared import PER_DEVICE, adamw, checkpoints, schedule, split_batch, tokenizer_file

GRID = "launcher.grid"
NOT_CARRIED = {
    "launcher": "how jobs are started is no part of an experiment",
    "launcher.log_dir": "runs go to the run store (`lmc run --store`)",
    "launcher.slurm.nodes": PER_DEVICE,
    "launcher.slurm.nb_gpus": PER_DEVICE,
    "run_config.cluster": "devices are chosen when it runs (`lmc run --device`); this version trains on one",
    "run_config.data.data_dir": "the run makes table and database itself",
    "run_config.data.save_dir": "the run makes table and database itself",
    "run_config.data.buffer_size": "data are read ahead by themselves",
    "run_config.data.asynchronous": "data are read ahead by themselves",
    "run_config.data.padding": "documents stand side by side under masks; none is padded or cut",
    "run_config.data.sources": "files are read in order, without weights",
    "run_config.optim.fused": "how an update is computed is no part of an experiment",
    "run_config.model.block.norm_eps": "its code takes that of the model",
    "run_config.optim.max_steps": "a schedule ends with the training",
    "run_config.orchestration.logging": "records are always written",
    "run_config.orchestration.profiler": "a light profile is always on (`lmc profile`)",
    "run_config.evaluation": "evaluations read what they need from the run",
    "run_config.evaluation.db_path": "the run makes table and database itself",
}
NAMES = ("bytes", "pieces", "facts", "people", "lookup", "recall", "corpus", "small", "exact", "held_out")
ANYWAY = {
    "launcher.slurm.nodes": "1",
    "launcher.slurm.nb_gpus": "1",
    "run_config.cluster.tp": "1",
    "run_config.data.padding": "true",
}


def recognises(config: Config) -> bool:
    """Whether a configuration is one of ITL."""
    run = _run(config)
    return run.has("model.emb_dim") or run.has("model.nb_layers") or config.has("run_config")


def convert(config: Config) -> Draft:
    """Return the blocks that a configuration says; mistakes are recorded in it."""
    run = _run(config)
    tokenizer, size = _tokenizer(run)
    optim = run.under("optim")
    data = _data(run, tokenizer)
    model = _model(run, tokenizer, size)
    steps = optim.require("steps", optim.whole("steps"))
    batch, micro = split_batch(run.under("data"), optim.whole("grad_acc_steps", 1) or 1)
    train = Block("train", block_name(config.text("launcher.name"), "memory", NAMES))
    fields: dict[str, str | Block] = {"model": model.name, "data": data.name, "steps": number(steps), "batch": batch}
    fields |= {"micro_batch": micro} if micro else {}
    fields["seed"] = str(run.whole("orchestration.utils.seed", 42))
    fields["optim"] = adamw(optim)
    fields["schedule"] = _schedule(optim, steps)
    if run.boolean("compile") or run.boolean("cluster.compile_model"):
        fields["compile"] = "true"
    every = Block("every")
    kept = run.under("orchestration")
    checkpoints(fields, every, kept, "checkpoint.period", "checkpoint.nb_kept", "logging.period")
    if kept.boolean("logging.wandb.active") or kept.boolean("wandb.active"):
        fields["track"] = Block("track", variant="wandb")
    train.fields = fields
    return _together(run, tokenizer, size, data, model, train)


def advice(draft: Draft) -> list[str]:
    """Return what to know about a spec that comes from a configuration."""
    if any(block.variant == "dialogues" for block in draft.blocks):
        return ["The templates of the dialogues are not in a YAML: put them into templates/ beside the spec"]
    return ["The lines of ITL's files hold dialogues; `data : text` reads the member `field` of each, a text"]


def _run(config: Config) -> Config:
    return config.under("run_config") if config.has("run_config") else config


def _together(run: Config, tokenizer: Block, size: int | None, data: Block, model: Block, train: Block) -> Draft:
    blocks = [tokenizer]
    reach = {tokenizer.name: "data.tokenizer.", data.name: "data.", model.name: "model."}
    evals = []
    period = run.whole("evaluation.period", 0) or 0
    if data.variant == "dialogues":
        blocks += [_store(), _protocol()]
        if run.has("evaluation"):
            fields: dict[str, str | Block] = {"run": train.name, "protocols": f"{data.name}.protocols"}
            fields |= {"match": quoted("ends")} | ({"every": number(period)} if period else {})
            evals.append(Block("eval", "exact", "answers", fields))
    elif run.has("evaluation"):
        evals.append(Block("eval", "held_out", "loss", {"run": train.name}))
    width = run.whole("model.emb_dim") or 0
    implied = {"model.mlp.hidden": str(4 * width), "model.mixer.kv_heads": str(run.whole("model.block.nb_heads"))}
    implied |= {"model.vocab": str(size)} if size else {}
    return Draft(train, [*blocks, data, model], evals, reach, implied)


def _tokenizer(run: Config) -> tuple[Block, int | None]:
    """Return the tokenizer, and how many ids it has if that is known."""
    where = run.under("tokenizer") if run.has("tokenizer") else run.under("data.tokenizer")
    kinds = {"byte": "byte", "tiktoken": "tiktoken", "pretrained": "hf"}
    kind = where.choice("implementation" if where.has("implementation") else "name", kinds, "byte")
    ids = {name: where.whole(f"special_tokens.{name}", 0) or 0 for name in where.names("special_tokens")}
    specials = sorted(ids, key=lambda name: ids[name])
    if sorted(ids.values()) != list(range(len(ids))):
        where.refuse(f"special_tokens.{specials[0]}", "special tokens are numbered from 0 without gaps in lmc")
    fields: dict[str, str | Block] = {}
    if kind == "tiktoken":
        fields |= tokenizer_file(where)
    elif kind == "hf":
        fields["repo"] = quoted(where.text("tokenizer_id"))
    fields |= {"specials": words(specials)} if specials else {}
    name = {"byte": "bytes", "tiktoken": "pieces", "hf": "pieces"}[kind]
    return Block("tokenizer", name, kind, fields), 256 + len(specials) if kind == "byte" else None


def _data(run: Config, tokenizer: Block) -> Block:
    data = run.under("data")
    length = data.require("seq_len", data.whole("seq_len"))
    seed = data.whole("seed", 0) or 0
    seeded: dict[str, str | Block] = {"seed": str(seed)} if seed else {}
    if not data.has("key"):
        files = [data.text(f"sources{item}.path") for item in data.names("sources")]
        listed = ", ".join(f"file({quoted(name)})" for name in files)
        source = Block("source", variant="jsonl", fields={"files": f"[{listed}]"})
        end = quoted("<|eod|>") if "<|eod|>" in str(tokenizer.fields.get("specials")) else quoted("")
        fields: dict[str, str | Block] = {"source": source, "tokenizer": tokenizer.name, "seq_len": number(length)}
        if not files:
            data.refuse("sources", "neither `data.key` nor `data.sources` says what it is trained on")
        return Block("data", "corpus", "text", {**fields, "document_end": end, **seeded})
    mode = data.choice("key", {"qa": "weight", "qatool": "tool"}, "qatool")
    count = data.whole("nb_data") if data.has("nb_data") else data.whole("n_data")
    fields = {
        "tokenizer": tokenizer.name,
        "rows": "facts.people",
        "count": number(data.require("nb_data", count)),
        "mode": quoted(mode),
        "templates": 'files("templates/qatool*.txt" if mode == "tool" else "templates/qa[0-9].txt")',
        "protocols": '[lookup] if mode == "tool" else []',
        "seq_len": number(length),
        "order": quoted("replace"),
    }
    return Block("data", "recall", "dialogues", {**fields, **seeded})


def _store() -> Block:
    return Block("store", "facts", "sqlite", {"file": 'file("people.db")', "table": Block("table", "people", "people")})


def _protocol() -> Block:
    call = {
        "open": '"```sql\\n"',
        "body": r're"FIND (?<attribute>[a-z_]+) FOR (?<name>[^\n]{1,64})"',
        "close": '"\\n```"',
        "handover": quoted("<|database|>"),
    }
    fields: dict[str, str | Block] = {
        "store": "facts",
        "call": Block("call", fields={**call}),
        "query": quoted("SELECT {attribute} FROM people WHERE name = :name"),
        "allow": Block("allow", fields={"attribute": "facts.people.columns"}),
        "reply": Block("reply", fields={"suffix": quoted("<|assistant|>"), "empty": quoted("No result found")}),
    }
    return Block("protocol", "lookup", "sql", fields)


def _model(run: Config, tokenizer: Block, size: int | None) -> Block:
    model, block = run.under("model"), run.under("model.block")
    model.choice("implementation", {"transformer": "transformer"}, "transformer")
    fields: dict[str, str | Block] = {"tokenizer": tokenizer.name}
    vocab = model.whole("vocab_size")
    if vocab is not None and size is not None and vocab < size:
        model.refuse("vocab_size", f"the model has {vocab} ids and its tokenizer {size}", "leave it out: it is derived")
    elif vocab is not None and vocab != size:
        fields["vocab"] = str(vocab)
    fields["layers"] = str(model.require("nb_layers", model.whole("nb_layers")))
    fields["width"] = str(model.require("emb_dim", model.whole("emb_dim")))
    mixer = {"heads": str(block.require("nb_heads", block.whole("nb_heads")))}
    kv_heads = block.whole("nb_kv_heads", 0)
    mixer |= {"kv_heads": str(kv_heads)} if kv_heads else {}
    mixer |= {"bias": quoted("qkv")} if block.boolean("qkv_bias") else {}
    fields["mixer"] = Block("mixer", variant="attention", fields={**mixer})
    hidden = block.whole("hidden_dim", 0)
    fields |= {"mlp": Block("mlp", variant="swiglu", fields={"hidden": str(hidden)})} if hidden else {}
    eps = model.number("norm_eps")
    fields |= {"norm": Block("norm", variant="rms", fields={"eps": decimal(eps)})} if eps is not None else {}
    turns: dict[str, str | Block] = {"unit": quoted("turns")}
    theta = block.number("rope_theta")
    turns |= {"theta": decimal(theta)} if theta is not None else {}
    fields["positions"] = Block("positions", variant="rope", fields=turns)
    fields |= {"tied": "true"} if model.boolean("weight_tying") else {}
    return Block("model", "small", "transformer", fields)


def _schedule(optim: Config, steps: int) -> Block:
    kinds = {"cosine": "cosine", "constant": "constant"}
    kind = optim.choice("scheduler", kinds, "cosine")
    if kind == "constant":
        return Block("schedule", variant="constant")
    return schedule(optim, "cosine", steps)
