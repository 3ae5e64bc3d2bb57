"""Grammars as data: `lmspec.lark` (the language) and `pattern.lark` (protocol literals). No code belongs here."""
