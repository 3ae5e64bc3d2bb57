"""CPU time of the language tools on a spec of 300 lines: `lmc check` as a whole process, `lmc fmt` warm; one core.

    python benchmarks/bench_language.py [--repeat N] [--json FILE]

Goals: check 0.25 s, fmt 0.12 s. A calibration loop in the same run tells machines apart. The parse table of the
language is in its cache, as it is after the first command.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from processes import CALIBRATION, LMC, cpu_seconds, measured, read_options, report

from lmc.compiler.format.format import format_source
from lmc.compiler.syntax.parse import parse
from lmc.spec.diagnostic import Diagnostics
from lmc.spec.span import Source

LINES = 300
STUDY = """
# Study {n}: a text, a small model and what its width does.
tokenizer bytes_{n} : byte {{ specials = ["<|eod|>"] }}
data book_{n} : text {{
  source       = file("book.txt")
  tokenizer    = bytes_{n}
  seq_len      = 256
  document_end = "<|eod|>"
  split {{ train = 0.9, valid = 0.1 }}
}}
model small_{n} : transformer {{
  tokenizer = bytes_{n}  # the vocabulary is derived
  layers    = 4
  width     = 128
  mixer     : attention {{ heads = 4 }}
  mlp       : swiglu {{ hidden = 4 * width }}
  positions : rope {{ theta = 10k }}
}}
train base_{n} {{
  model = small_{n}
  data  = book_{n}
  steps = 5k, batch = 64, seed = 1337
  optim    : adamw {{ lr = 1e-3, betas = [0.9, 0.99], weight_decay = 0.1, clip = 1.0 }}
  schedule : cosine {{ warmup = 100, floor = optim.lr / 10 }}
  every {{ eval = 250, checkpoint = 1k, log = 10 }}
  assert batch % 8 == 0 : "eight at a time"
}}
eval held_out_{n} : loss {{ run = base_{n}, split = "valid", unit = "bits/byte", examples = 64 }}
grid widths_{n} {{
  base = base_{n}
  over {{
    model.width = [64, 128, 256]
    optim.lr    = logspace(-4, -2, 3)
  }}
  where = not (model.width == 256 and optim.lr > 5e-3)
  seeds = range(2)
  name  = f"study{n}-d{{model.width}}-lr{{optim.lr:.1e}}-s{{seed}}"
}}
overlay quick_{n} : widths_{n} {{ base.steps = 500, over {{ model.width = [64] }}, seeds = [0] }}
plot curve_{n} : line {{
  from = widths_{n}
  x = model.width, y = held_out_{n}.loss, color = optim.lr
  scale {{ x = "log2" }}
}}
"""


def spec() -> str:
    count = -(-LINES // STUDY.count("\n"))
    return "edition = 1\n" + "".join(STUDY.format(n=n) for n in range(count))


def warm(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    chosen = read_options(__doc__, repeat=7)
    neat = Source("spec.lmspec", spec())
    ugly = Source("spec.lmspec", neat.text.replace(" = ", "=").replace("  ", "   "))
    assert format_source(neat, Diagnostics()) == neat.text == format_source(ugly, Diagnostics())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.lmspec"
        path.write_text(neat.text, encoding="utf-8")
        measures = {
            "calibration (10M additions)": lambda: cpu_seconds(CALIBRATION),
            "an empty process": lambda: cpu_seconds([sys.executable, "-c", ""]),
            "lmc --version, cold": lambda: cpu_seconds([*LMC, "--version"]),
            "lmc check, cold": lambda: cpu_seconds([*LMC, "check", str(path)]),
            "lmc fmt --check, cold": lambda: cpu_seconds([*LMC, "fmt", "--check", str(path)]),
            "parse, warm": lambda: warm(lambda: parse(neat, Diagnostics())),
            "fmt, warm, as it should be": lambda: warm(lambda: format_source(neat, Diagnostics())),
            "fmt, warm, every line changes": lambda: warm(lambda: format_source(ugly, Diagnostics())),
        }
        times = measured(measures, chosen.repeat)
    report(times, chosen)
    print(f"{len(neat.text.splitlines())} lines, {len(neat.text):,} characters")


if __name__ == "__main__":
    main()
