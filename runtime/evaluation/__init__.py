"""Evaluations: what a trained model is worth, in numbers.

Belongs here: metrics from models, data sets and transcripts. Does not: when they are computed or where they are kept.
"""
