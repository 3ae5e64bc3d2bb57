"""The language server: what an editor asks about `.lmspec` files while they are written.

Belongs here: open buffers, what stands at a place, and `server.py`, which alone knows the protocol's library.
Does not: what names mean and what is wrong with them (`resolve/`, `plan/`).
"""
