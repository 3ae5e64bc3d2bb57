"""Pools that people are made from, one entry a line. Names are made up; any likeness is chance."""
