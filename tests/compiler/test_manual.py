"""The manual says what the language does: every field is documented, and every default is what it says."""

import inspect
from pathlib import Path

import attrs
import pytest
from attrs.validators import ge

from lmc.compiler.manual.describe import FieldDoc, describe_field, describe_kind, describe_variant, kinds
from lmc.compiler.manual.written import KINDS as SAID
from lmc.compiler.pipeline import compile_spec
from lmc.compiler.resolve.draft import STATEMENTS
from lmc.compiler.resolve.stages import MAY_SET
from lmc.compiler.syntax.parse import KINDS
from lmc.spec.model import Attention, Transformer
from lmc.spec.optim import AdamW
from lmc.spec.protocol import Automaton, SqlProtocol
from lmc.spec.schema import REGISTRY, fields, option
from lmc.spec.store import People
from lmc.spec.train import Every, Train

VARIANTS = [cls for kind in REGISTRY.values() for cls in kind.values()]


def silent(cls: type) -> list[str]:
    """Return what of a class says nothing of itself; attrs writes a docstring of its own where there is none."""
    found = [] if (cls.__doc__ or "").strip().endswith((".", ")")) else ["the class"]
    for name, attribute in fields(cls).items():
        doc = attribute.metadata.get("doc", "").strip()
        if not doc or not doc.endswith((".", ")")):
            found.append(name)
        validator = getattr(attribute.validator, "validator", attribute.validator)
        if inspect.isfunction(validator) and not validator.__doc__:
            found.append(f"the validator of {name}")
    return found


@pytest.mark.parametrize("cls", VARIANTS, ids=lambda cls: cls.__name__)
def test_every_variant_and_field_is_documented(cls: type) -> None:
    assert silent(cls) == []


def test_a_silent_class_is_noticed() -> None:
    def whole(instance: object, attribute: object, value: int) -> None:
        pass

    @attrs.frozen(kw_only=True)
    class Silent:
        told: int = option("A number.", default=0, validator=ge(0))
        untold: int = option("", default=0)
        ranged: int = option("Another.", default=0, validator=whole)

    assert silent(Silent) == ["the class", "untold", "the validator of ranged"]


def test_every_kind_has_a_sentence_and_every_nested_block_a_place() -> None:
    assert set(SAID) == KINDS
    for kind in kinds():
        described = describe_kind(kind)
        assert described.doc.endswith(".")
        assert bool(described.within) == (kind not in KINDS)
        for variant in described.variants:
            for field in variant.fields:
                assert not field.holds or field.holds in kinds()
                assert not field.required or not field.default


def test_fields_are_described_as_they_are_written() -> None:
    """By hand, from what the language reference says of them."""
    assert describe_field(Attention, "kv_heads").facts() == "Int, at least 0, default heads"
    assert describe_field(Attention, "kv_heads").derived
    assert describe_field(Attention, "window").facts() == "Int or none, at least 1, default none"
    assert describe_field(Attention, "window").notes() == "In positions."
    assert describe_field(Attention, "heads").facts() == "Int, at least 1, required"
    assert describe_field(AdamW, "betas").facts() == "List[Float], Two numbers from 0 to below 1, default [0.9, 0.95]"
    assert describe_field(AdamW, "eps").default == "1e-8"
    assert describe_field(AdamW, "groups").type == "blocks group NAME { }"
    assert describe_field(AdamW, "groups").name == "group"
    assert describe_field(SqlProtocol, "timeout").facts() == "Duration, above 0, default 1s"
    assert describe_field(SqlProtocol, "max_bytes").facts() == "Size, above 0, default 4KiB"
    assert describe_field(SqlProtocol, "allow").type == 'block of NAME = List[Str] or "read_only"'
    assert describe_field(Transformer, "mixer").type == "Variant[attention, gated, hyena, based, mamba]"
    assert describe_field(Transformer, "mixer").holds == "mixer"
    assert describe_field(Train, "model").type == "Ref[model]"
    assert describe_field(Train, "init").type == "Variant[checkpoint] or none"
    assert describe_field(Train, "ema").range == "above 0 and below 1"
    assert describe_field(Every, "eval").default == "max(1, steps // 50)"
    assert describe_field(Every, "log").notes() == "Not part of the identity."
    assert describe_field(People, "columns").range == "Different columns, at least one"
    assert describe_kind("start").title == "init"
    assert describe_kind("start").within == ("train",)


def test_what_hover_shows() -> None:
    field = describe_field(Attention, "window")
    assert field.markdown() == (
        "**window**: `Int or none, at least 1, default none`\n\n"
        "Positions of its document that a position sees, itself included; none: all before it.\n\nIn positions."
    )
    variant = describe_variant(Attention)
    assert variant.markdown().startswith("**mixer : attention**\n\nGrouped-query attention")
    assert variant.markdown().endswith("`bias`, `window`, `sinks`, `dropout`.")
    assert variant.field("heads") == describe_field(Attention, "heads")
    assert "`byte`" in describe_kind("tokenizer").markdown()


def test_hidden_fields_are_not_told() -> None:
    assert describe_variant(Train).field("watched") is None
    assert "automaton" not in kinds()


def test_statements_of_grids_and_stages_are_told() -> None:
    grid = {field.name for field in describe_kind("grid").variants[0].fields}
    assert grid == set(STATEMENTS)
    stage = {field.name.split(".")[0] for field in describe_kind("stage").variants[0].fields}
    assert stage == set(MAY_SET)


def told(field: FieldDoc) -> str | None:
    """Return a field written out with the default that the manual tells, or None where nothing can be written."""
    if field.required or not field.default:
        return None
    block = field.holds and field.default != "none"
    return f"{field.name} : {field.default} {{}}" if block else f"{field.name} = {field.default}"


BASE = """edition = 1
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 8 }
data mixed : mixture { tokenizer = bytes, seq_len = 8, part book { data = file.book, MIXED_PART } }
store facts : sqlite { file = file("p.db"), table people : people { PEOPLE } }
protocol sums : calculator {
  call { open = "<", body = re"(?<e>[0-9]{1,9})", close = ">", CALL }
  reply { REPLY }
  expression = ":e"
  SUMS
}
model small : transformer {
  tokenizer = bytes, layers = 2, width = 8
  mixer : attention { heads = 2, ATTENTION }
  mlp : swiglu { SWIGLU }
  norm : rms { RMS }
  positions : rope { scaling : yarn { factor = 2, original = 8, YARN }, ROPE }
  init : kaiming { KAIMING }
  MODEL
}
train base {
  model = small, data = book, steps = 10, batch = 2
  optim : muon { adamw { ADAMW }, MUON }
  schedule : wsd { cooldown = 2, WSD }
  loss { LOSS }
  every { EVERY }
  precision { PRECISION }
  TRAIN
}
train other { model = small, data = mixed, steps = 10, batch = 2, optim : adamw { PLAIN } }
eval answers : generate { run = base, protocols = [sums], sample { SAMPLE }, GENERATE }
"""
PLACES = {
    "MIXED_PART": ("part", ""),
    "PEOPLE": ("table", "people"),
    "CALL": ("call", ""),
    "REPLY": ("reply", ""),
    "SUMS": ("protocol", "calculator"),
    "ATTENTION": ("mixer", "attention"),
    "SWIGLU": ("mlp", "swiglu"),
    "RMS": ("norm", "rms"),
    "YARN": ("scaling", "yarn"),
    "ROPE": ("positions", "rope"),
    "KAIMING": ("init", "kaiming"),
    "MODEL": ("model", "transformer"),
    "ADAMW": ("adamw", ""),
    "MUON": ("optim", "muon"),
    "WSD": ("schedule", "wsd"),
    "LOSS": ("loss", ""),
    "EVERY": ("every", ""),
    "PRECISION": ("precision", ""),
    "TRAIN": ("train", ""),
    "PLAIN": ("optim", "adamw"),
    "SAMPLE": ("sample", ""),
    "GENERATE": ("eval", "generate"),
}
WRITTEN = {"tokenizer", "steps", "tokens", "schedule", "positions", "mlp", "norm", "optim", "init"}
WRITTEN |= {"scaling", "protocols", "adamw", "body"}


def test_defaults_are_what_the_manual_tells(tmp_path: Path) -> None:
    """A file in which every default is written out, in the manual's words, makes the specs of one that is silent."""
    (tmp_path / "book.txt").write_text("a book", encoding="utf-8")
    nothing, all_told, count = BASE, BASE, 0
    for place, (kind, name) in PLACES.items():
        described = describe_variant(REGISTRY[kind][name])
        lines = [line for f in described.fields if f.name not in WRITTEN and (line := told(f))]
        count += len(lines)
        nothing = nothing.replace(f" {place}", "", 1)
        all_told = all_told.replace(f" {place}", " " + "\n".join(lines), 1)
    assert count > 80
    specs = []
    for text in (nothing, all_told):
        path = tmp_path / "spec.lmspec"
        path.write_text(text, encoding="utf-8")
        compiled = compile_spec(path)
        assert [d.message for d in compiled.diagnostics.items] == []
        assert compiled.plan is not None
        nodes = compiled.plan.nodes.items()
        specs.append({id: None if isinstance(node.spec, Automaton) else node.spec for id, node in nodes})
    assert specs[0] == specs[1]
