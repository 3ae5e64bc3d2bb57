"""Secrets reach workers under the names that libraries read, and are written nowhere."""

from pathlib import Path

from lmc.compiler.pipeline import compile_spec
from lmc.runtime.secrets import secret_variables
from lmc.spec.plan_text import plan_lines

TEXT = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 100, batch = 8SECRETS }
"""


def test_secrets_are_passed_on_and_change_no_identity(tmp_path: Path) -> None:
    plans = []
    for secrets in ("", ', secrets { hub = env("MY_TOKEN"), wandb = env("MY_KEY") }'):
        path = tmp_path / "case.lmspec"
        path.write_text(TEXT.replace("SECRETS", secrets), encoding="utf-8")
        plan = compile_spec(path).plan
        assert plan is not None
        plans.append(plan)
    bare, secret = plans
    environment = {"MY_TOKEN": "hf_secret", "PATH": "/bin"}
    assert secret_variables(secret, secret.nodes, environment) == {"HF_TOKEN": "hf_secret"}
    assert secret_variables(bare, bare.nodes, environment) == {}
    assert set(bare.nodes) == set(secret.nodes)
    assert not any("hf_secret" in line for line in plan_lines(secret))
