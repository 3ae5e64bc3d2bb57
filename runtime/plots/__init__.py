"""Results as tables and figures.

Belongs here: reading what runs wrote, reducing it, drawing it. Does not: running anything.
"""
