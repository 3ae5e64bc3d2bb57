"""The verbs from text to plan: syntax, resolve, check, grids, protocols, plan, and the command line.

Belongs here: pure functions over the nouns of `lmc.spec`. Does not: torch, numpy, matplotlib; only
`cli.py` imports `lmc.runtime`, inside the commands that run something.
"""
