"""The run store: one folder per node, an index that can be rebuilt from them, and what reads them.

Belongs here: everything about files of results. Does not: what the results mean.
"""
