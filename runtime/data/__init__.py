"""Data: made tables, databases, dialogues, texts, and how examples become batches.

Belongs here: everything between a file or a seed and a `Batch`. Does not: models, optimisers, tools.
"""
