"""What a word may mean where a block has no such field; read only when a mistake is told.

lr             in a train      ->  optim.lr         a field of a block in it
width          in a train      ->  model.width      a field of a block that it refers to
batch_size     in a train      ->  batch            a habit of other tools
attention { }  in a model      ->  mixer : attention { }
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import attrs
from attrs import evolve, frozen

from ...spec.diagnostic import Edit
from ...spec.schema import REGISTRY, SPELLINGS, fields, kind_of, referred, slot, variant_of, word_of
from ..syntax import tree
from .cells import Cell, is_map, spelled
from .references import is_slot

HABITS = {
    word: name
    for name, words in {
        "batch": "batch_size train_batch_size global_batch_size bs bsz",
        "clip": "grad_clip clip_grad grad_norm_clip max_grad_norm gradient_clip gradient_clip_val",
        "epochs": "num_epochs n_epochs max_epochs num_train_epochs",
        "heads": "num_heads n_heads n_head nhead num_attention_heads attention_heads",
        "hidden": "intermediate_size ffn_dim ffn_hidden_size d_ff dim_feedforward mlp_dim",
        "kv_heads": "num_kv_heads n_kv_heads num_key_value_heads",
        "layers": "num_layers n_layers n_layer num_hidden_layers num_blocks n_blocks depth",
        "lr": "learning_rate max_lr peak_lr base_lr",
        "micro_batch": "micro_batch_size per_device_train_batch_size device_batch_size",
        "optim": "optimizer optimiser",
        "schedule": "scheduler lr_scheduler lr_schedule lr_scheduler_type",
        "seed": "random_seed rng_seed",
        "seq_len": "context_length context_len context_size block_size sequence_length seq_length max_seq_len "
        "max_seq_length max_length n_ctx ctx_len max_position_embeddings",
        "steps": "max_steps num_steps n_steps total_steps train_steps num_train_steps training_steps max_iters "
        "iterations",
        "theta": "rope_theta rope_base",
        "tied": "tie_embeddings tie_weights tie_word_embeddings weight_tying",
        "tokens": "max_tokens num_tokens total_tokens train_tokens",
        "vocab": "vocab_size n_vocab vocabulary_size",
        "warmup": "warmup_steps num_warmup_steps warmup_iters",
        "weight_decay": "wd",
        "width": "hidden_size hidden_dim d_model model_dim dim n_embd embed_dim embedding_dim emb_dim embedding_size",
    }.items()
    for word in words.split()
}
"""What other tools call a field."""
DEEPEST = 3
"""Most blocks that are gone into."""
MOST = 3
"""Most places that are named."""


@frozen
class Place:
    """A block in which a field is looked for: as it is written, or what it may be.

    Attributes:
        path: how it is reached, "" or "model.mixer.". sure: whether it is of `cls` as things are written.
        referred: whether it is another block at top level, which is then of one of the variants.
    """

    path: str
    cls: Any
    cell: Cell | None
    sure: bool = True
    referred: bool = False


@frozen
class Meant:
    """What a word may mean: a help, and what to write in its place."""

    help: str
    edits: tuple[Edit, ...] = ()


def meant(cell: Cell, name: tree.Name, block: tree.Block | None = None) -> Meant:
    """Return what is meant by the name of a field, or the word of a nested block, that a block has not."""
    word = HABITS.get(name.text, name.text)
    places = _nearest(Place("", cell.cls, cell), SPELLINGS.get(word, word))
    sure = any(place.sure for place in places)
    if sure and len(places) == 1 and (block is None or not places[0].path):
        return _written(places[0], word, name)
    if (variant := _variant(cell, name, block)) is not None:
        return variant
    if sure:
        return Meant(_belongs(places, word, name, block))
    known = [spelled(f) for f in _open(cell.cls)]
    known += [a.metadata["repeat"] for a in fields(cell.cls).values() if a.metadata["repeat"]]
    if near := difflib.get_close_matches(name.text, known, 1, 0.6):
        return _written(Place("", cell.cls, cell), near[0], name)
    if places:
        return Meant(_belongs(places, word, name, block))
    return Meant(_elsewhere(cell, word) or f"fields are {', '.join(known)}")


def _written(place: Place, word: str, name: tree.Name) -> Meant:
    path = f"{place.path}{word}"
    attribute = fields(place.cls).get(SPELLINGS.get(word, word))
    doc = "" if attribute is None else f" ({attribute.metadata['doc'].rstrip('.')})"
    return Meant(f"did you mean `{path}`{doc}?", (Edit(name.span, path),))


def _belongs(places: list[Place], word: str, name: tree.Name, block: tree.Block | None) -> str:
    """Return where a field belongs that several blocks have, or one that is not as it would have to be."""
    if block is not None:
        inside = [f"`{place.path.rstrip('.')} {{ ... }}`" for place in places]
        return f"`{name.text}` belongs into {' or '.join(dict.fromkeys(inside))}"
    loose = [
        f"`{p.path}{word}`" + (f" of {word_of(kind_of(p.cls))} `{variant_of(p.cls)}`" * (not p.sure)) for p in places
    ]
    return f"did you mean {' or '.join(dict.fromkeys(loose[:MOST]))}?"


def _variant(cell: Cell, name: tree.Name, block: tree.Block | None) -> Meant | None:
    """Return the slots that the name of a variant fits, those that always hold a block before the others."""
    slots = [
        f for f in _open(cell.cls) if not fields(cell.cls)[f].metadata["repeat"] and name.text in slot(cell.cls, f)
    ]
    always = [f for f in slots if fields(cell.cls)[f].default is not None]
    found = [f"{spelled(f)} : {name.text}" for f in always or slots]
    if not found:
        return None
    help = f"write {' or '.join(f'{each} {{ ... }}' for each in found)}"
    plain = block is not None and block.base is None and block.name is None
    return Meant(help, (Edit(name.span, found[0]),) if plain and len(found) == 1 else ())


def _elsewhere(cell: Cell, word: str) -> str:
    """Return the kinds of blocks at top level that have a field."""
    kinds = [
        kind
        for kind in ("model", "data", "train")
        if (kind != cell.root.kind or cell.parent is not None)
        and any(word in _open(cls) for cls in REGISTRY[kind].values())
    ]
    return f"`{word}` is a field of {' and of '.join(kinds)}" if kinds else ""


def _nearest(place: Place, wanted: str) -> list[Place]:
    """Return the blocks with a field, of those that are the fewest steps away."""
    level = [place]
    for _ in range(DEEPEST):
        if found := [each for each in level if wanted in _open(each.cls)]:
            return _distinct(found, {each.path for each in level if each not in found})
        level = [inner for each in level for inner in _within(each)]
    return []


def _distinct(found: list[Place], without: set[str]) -> list[Place]:
    """Return one place for each path; a reference is sure where no variant that it may lead to is without the field."""
    first = {each.path: each for each in reversed(found)}
    return [
        evolve(each, sure=each.sure or (each.referred and path not in without))
        for path, each in reversed(first.items())
    ]


def _within(place: Place) -> Iterator[Place]:
    """Yield what is nested in a block, and what it refers to; several of a path where it may be one of them."""
    for name, attribute in _open(place.cls).items():
        path = f"{place.path}{spelled(name)}."
        if attribute.metadata["ref"]:
            for kind in referred(attribute.metadata["ref"]):
                yield from (Place(path, cls, None, False, True) for cls in REGISTRY.get(kind, {}).values())
        elif attribute.metadata["repeat"] or is_map(place.cls, name):
            continue
        else:
            written = place.cell.alternatives(name) if place.cell is not None and is_slot(place.cell, name) else []
            yield from (Place(path, cell.cls, cell, len(written) == 1) for cell in written)
            forms, there = slot(place.cls, name), [cell.cls for cell in written]
            yield from (Place(path, cls, None, list(forms) == [""]) for cls in forms.values() if cls not in there)


def _open(cls: Any) -> dict[str, attrs.Attribute[Any]]:
    """Return the fields that may be written."""
    return {name: attribute for name, attribute in fields(cls).items() if not attribute.metadata["hidden"]}
