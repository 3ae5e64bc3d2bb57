"""Protocol literals: patterns to byte automata with events, in pure Python, as data for the plan.

Belongs here: regular languages over bytes. Does not: vocabularies and tokens (`lmc.runtime.protocols`).
"""
