"""Models as torch modules, with their layouts, masks, caches and initialisation.

Belongs here: what maps tokens to logits. Does not: losses, optimisers, sampling, files.
Shape suffixes: B = rows, T = slots of a row, D = width, H = query heads, K = kv heads, E = head size, V = vocabulary.
"""
