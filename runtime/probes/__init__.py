"""Probes: what they record at the sites of a model.

Belongs here: hooks, statistics, patterns of sites. Does not: where recordings are kept.
"""
