"""Stores: databases that are made or given, their tables as rows of text, and copies with permuted values.

Belongs here: what a data set or an evaluation needs of a database. Does not: how a model asks one (`tools`).
"""
