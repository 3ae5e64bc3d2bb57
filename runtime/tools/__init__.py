"""Tools that protocols call.

Belongs here: how a call with captured values becomes an answer, and how calls run at once within their time.
Does not: how a call is recognised in tokens, nor how an answer becomes tokens.
"""
