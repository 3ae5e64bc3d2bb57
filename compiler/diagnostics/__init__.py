"""Diagnostics: their codes, and the one place that makes text of them.

Belongs here: the table of codes, rendering. Does not: finding mistakes.
"""
