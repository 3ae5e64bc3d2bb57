"""The nouns: everything a stage of lmc hands to the next one.

Belongs here: frozen attrs data, its schema, its identity, its codec, and pure arithmetic over it.
Does not: parsing, file access, torch, numpy. Imports only the standard library, attrs and cattrs.
Importing `lmc.spec` registers every variant of the language.
"""

from . import data, evaluation, init, mesh, model, optim, plot, probe, protocol, schedule, store, tokenizer, train

__all__ = [
    "data",
    "evaluation",
    "init",
    "mesh",
    "model",
    "optim",
    "plot",
    "probe",
    "protocol",
    "schedule",
    "store",
    "tokenizer",
    "train",
]
