"""Write the TextMate grammar: `python -m lmc.compiler.highlight editors/vscode/syntaxes/lmspec.tmLanguage.json`."""

from __future__ import annotations

import sys
from pathlib import Path

from .textmate import grammar_text

if len(sys.argv) == 2:
    Path(sys.argv[1]).write_text(grammar_text(), encoding="utf-8")
else:
    sys.stdout.write(grammar_text())
