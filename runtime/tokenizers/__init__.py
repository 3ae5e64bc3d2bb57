"""Tokenizers: text to ids and back, over bytes, published and trained vocabularies.

Belongs here: everything that knows how a vocabulary is read, trained or applied. Does not: what is written with it
(`runtime/data`), nor what watches it (`runtime/protocols`).
"""
