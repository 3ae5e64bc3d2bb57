"""Text to the same program in its one layout.

Belongs here: where lines break, what is aligned, where comments go, the proof that nothing else changed.
Does not: what the text means, files, the command line.
"""
