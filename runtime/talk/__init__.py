"""Finished runs in use: loaded, asked with prompts, talked with.

Belongs here: what stands between a person, or a script, and the engine. Does not: how tokens are made (`generation`).
"""
