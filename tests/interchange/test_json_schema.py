"""JSON Schema of every block: what lmc exports is valid, and what no file could say is not."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmc.compiler.cli import main
from lmc.compiler.interchange.resolved import document
from lmc.compiler.pipeline import compile_spec
from lmc.spec.exported import visible
from lmc.spec.json_schema import block_schema, document_schema, known_blocks
from lmc.spec.schema import REGISTRY

jsonschema = pytest.importorskip("jsonschema", reason="needs the jsonschema library of the extra `test`")

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.lmspec"))
ONE_OF_EACH = 3


@pytest.fixture(scope="module")
def valid() -> Any:
    schema = document_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def example(path: Path) -> dict[str, Any]:
    overlays = ["quick"] if "overlay quick" in path.read_text("utf-8") else []
    plan = compile_spec(path, overlays).plan
    assert plan is not None
    first = [next(p for p in plan.points if p.grid == t.name) for t in plan.targets if t.kind in ("grid", "train")]
    return json.loads(json.dumps(document(plan, [*first, *plan.points[:ONE_OF_EACH]])))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_resolved_examples_are_valid(path: Path, valid: Any) -> None:
    found = [error.message for error in valid.iter_errors(example(path))]
    assert found == []


def mutations(run: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every block of a run, each with one mistake: what it was, and the run with it."""
    for name, block in run["blocks"].items():
        cls = REGISTRY[block["kind"]][block["variant"]]
        changes: list[tuple[str, Any]] = [("no_such_field", 1), ("kind", "trian"), ("variant", "no_such")]
        changes += [(field, {"a": {"b": [None]}}) for field in visible(cls) if not isinstance(block.get(field), dict)]
        changes += [(field, "many") for field, value in block.items() if type(value) in (int, float, bool)]
        changes += [(field, value + 0.5) for field, value in block.items() if type(value) is int]
        changes += [
            (field, value) for field in ("layers", "batch", "width") if field in block for value in (0, -1, None)
        ]
        for field, value in changes:
            wrong = copy.deepcopy(run)
            wrong["blocks"][name][field] = value
            yield f"{name}.{field} = {value}", wrong
        wrong = copy.deepcopy(run)
        del wrong["blocks"][name]["kind"]
        yield f"{name} without kind", wrong


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_mutated_examples_are_not_valid(path: Path, valid: Any) -> None:
    whole = example(path)
    run = whole["runs"][0]
    made = list(mutations(run))
    assert len(made) > 50
    accepted = [what for what, wrong in made if valid.is_valid({**whole, "runs": [wrong]})]
    assert accepted == []


@pytest.mark.parametrize("key", ["format", "edition", "source", "overlays", "settings", "runs"])
def test_a_document_without_a_part_is_not_valid(key: str, valid: Any) -> None:
    whole = example(ROOT / "examples" / "shakespeare.lmspec")
    del whole[key]
    assert not valid.is_valid(whole)


def described(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from described(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from described(part)


@pytest.mark.parametrize("name", sorted(known_blocks()))
def test_every_block_has_a_schema_with_docs_of_its_own(name: str) -> None:
    kind, _, variant = name.partition(".")
    schema = block_schema(kind, variant)
    jsonschema.Draft202012Validator.check_schema(schema)
    own = schema["$defs"][name]
    assert own["description"]
    for field, found in own["properties"].items():
        assert field in ("kind", "variant") or found["description"], field
    for part in described(schema):
        if "$ref" in part:
            assert part["$ref"].removeprefix("#/$defs/") in schema["$defs"]


def test_defaults_are_valid_against_their_own_fields() -> None:
    checked = 0
    for name, cls in known_blocks().items():
        kind, _, variant = name.partition(".")
        schema = block_schema(kind, variant)
        for field, found in schema["$defs"][name]["properties"].items():
            if "default" in found:
                checker = jsonschema.Draft202012Validator({**found, "$defs": schema["$defs"]})
                assert list(checker.iter_errors(found["default"])) == [], f"{name}.{field}"
                checked += 1
        assert cls
    assert checked > 150


@pytest.mark.parametrize(
    ("name", "field", "expected"),
    [
        ("model.transformer", "layers", {"type": "integer", "minimum": 1}),
        ("mixer.attention", "window", {"type": ["integer", "null"], "minimum": 1, "default": None}),
        ("loss", "smoothing", {"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0, "default": 0.0}),
        ("precision", "compute", {"enum": ["fp32", "bf16"], "default": "fp32"}),
        (
            "optim.adamw",
            "betas",
            {
                "type": "array",
                "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                "minItems": 2,
                "maxItems": 2,
                "default": [0.9, 0.95],
            },
        ),
        (
            "schedule.table",
            "at",
            {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
        ),
        ("limits", "wall", {"type": ["number", "null"], "exclusiveMinimum": 0.0, "default": None}),
    ],
)
def test_ranges_and_choices_are_those_of_the_language(name: str, field: str, expected: dict[str, Any]) -> None:
    kind, _, variant = name.partition(".")
    found = dict(block_schema(kind, variant)["$defs"][name]["properties"][field])
    assert found.pop("description")
    assert found == expected


def test_the_command_prints_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == document_schema()
    assert main(["schema", "mixer"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["anyOf"] == [{"$ref": f"#/$defs/mixer.{name}"} for name in REGISTRY["mixer"]]
    assert main(["schema", "model.transformer"]) == 0
    assert json.loads(capsys.readouterr().out) == block_schema("model", "transformer")


@pytest.mark.parametrize(("name", "near"), [("model.transfromer", "model.transformer"), ("trian", "train")])
def test_an_unknown_block_is_a_usage_error_that_names_the_nearest(
    name: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", name]) == 2
    assert f"did you mean {near}?" in capsys.readouterr().err
