"""A small spec without mistakes, which tests of the language grow, and what they ask of one that is compiled."""

from __future__ import annotations

from collections.abc import Callable

from lmc.compiler.pipeline import Compiled
from lmc.spec.plan import Plan

BASE = """
tokenizer bytes : byte {}
data book : text { source = file("book.txt"), tokenizer = bytes, seq_len = 64 }
model small : transformer { tokenizer = bytes, layers = 2, width = 64, mixer : attention { heads = 2 } }
train base { model = small, data = book, steps = 100, batch = 8 }
"""
Compile = Callable[..., Compiled]
"""Compiles a text, with overlays and settings of a command line."""


def plan_of(compiled: Compiled) -> Plan:
    assert compiled.plan is not None, [(d.code, d.message) for d in compiled.diagnostics.items]
    return compiled.plan
