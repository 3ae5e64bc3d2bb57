"""Tools that protocols call.

Belongs here: how a call with captured values becomes an answer. Does not: how a call is recognised in tokens.
"""
