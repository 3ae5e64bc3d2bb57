"""Text to syntax tree and back.

Belongs here: tokens, recovery, literals, printing. Does not: what names mean, types, files other than the one read.
"""
