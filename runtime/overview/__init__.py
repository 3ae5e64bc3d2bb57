"""What a plan's runs are against a store: before they run, while they do, and after.

Belongs here: reading of plan, index and folders, and its text and JSON. Does not: doing anything, and torch.
"""
