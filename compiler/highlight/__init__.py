"""Colours by spelling alone, for editors and pages without the language server.

`table.py` is the one table. `textmate.py` and `lexer.py` are it in the forms of TextMate and of Pygments;
`python -m lmc.compiler.highlight FILE` writes the first.
"""
