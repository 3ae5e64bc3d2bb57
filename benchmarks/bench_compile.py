"""CPU time of `lmc check` and `lmc compile` on the 7,800-run grid, whole processes, one core.

    python benchmarks/bench_compile.py [--repeat N] [--json FILE]

Goals: check 0.25 s, compile 1.0 s. A calibration loop stands beside them, so that machines can be compared.
"""

import tempfile

from processes import CALIBRATION, EXAMPLE, LMC, processes, read_options, report


def main() -> None:
    chosen = read_options(__doc__, repeat=5)
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "calibration (10M additions)": CALIBRATION,
            "lmc check, 7 runs": [*LMC, "check", str(EXAMPLE), "--with", "quick"],
            "lmc check, 7,800 runs": [*LMC, "check", str(EXAMPLE)],
            "lmc compile, 7,800 runs": [*LMC, "compile", str(EXAMPLE), "-o", f"{folder}/plan"],
        }
        times = processes(commands, chosen.repeat)
    report(times, chosen)


if __name__ == "__main__":
    main()
