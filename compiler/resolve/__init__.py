"""Names, inheritance, worlds, values and types: from syntax trees to specs with origins.

    declare   files -> declarations                  cells   statements -> settings per field, weakest first
    worlds    a train and what it reaches            values  expressions -> exact values -> typed values
    lower     cells -> specs and node ids            grids   points of a grid

Belongs here: the meaning of the language. Does not: text, plan files, the command line.
"""
