"""Generation: the decoding loop, sampling, and tools in the loop.

Belongs here: everything between a prompt and a transcript. Does not: what a transcript is worth (`evaluation`).
"""
