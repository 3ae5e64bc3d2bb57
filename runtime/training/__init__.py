"""Training: the step, the loop, schedules, checkpoints, and the record of how a run was executed.

Belongs here: everything between a data set and trained weights. Does not: evaluations, probes, the run store.
"""
