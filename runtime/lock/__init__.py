"""What a lock says against what there is: which inputs a plan reads, what they are now, and where they differ.

Belongs here: reading and writing of locks, and asking files, addresses, the hub and databases. Does not: torch.
"""
