"""The manual: what kinds, variants, fields and diagnostics are, generated from the schema and the table of codes.

Belongs here: the words of a reference, and their layout as Markdown and for a terminal.
Does not: what a spec means (`resolve`), how a mistake in one is shown (`diagnostics`).
"""
