"""Byte automata over a vocabulary: tables over token ids, and their states in a decoding loop.

Belongs here: the lift and pure functions on its states. Does not: calling tools, editing caches.
"""
