"""From resolved worlds to a plan, and plans on disk.

Belongs here: which nodes exist, what belongs to which run, and the plan folder. Does not: values and types.
"""
