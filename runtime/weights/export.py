"""`lmc export`: a finished run as a folder for transformers, with its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.tokenizer import HfTokenizer
from ..extras import library
from ..finished import open_run
from ..inputs import existing
from ..tokenizers.base import Tokenizer
from ..tokenizers.hf import FILE, download, read_file
from ..tokenizers.ranks import write_ranks
from .write import save_hf, write_json

VOCABULARY = "vocabulary.tiktoken"


def export_hf(store: Path, name: str, folder: Path) -> list[str]:
    """Write a run as a folder and return lines that say what it holds.

    Raises LmcError: LM0809 for an unknown or ambiguous run, LM0805 without a whole checkpoint, LM0716 for a model
    that transformers cannot express, LM0804 where nothing can be written.
    """
    found = open_run(store, name, "cpu")
    session, run = found.session, found.run
    tokenizer: Tokenizer = session.product(run.data.tokenizer)
    model = run.load(session, found.folder, session.placement)
    save_hf(model, folder, positions=run.longest(found.folder), ends=sorted(tokenizer.specials.values()))
    try:
        said = _write_tokenizer(run.data.tokenizer.spec, tokenizer, session.root, folder)
    except OSError as error:
        message = f"the tokenizer cannot be written to `{folder}`: {error.strerror}"
        raise LmcError(Diagnostic("LM0804", message, None, help="choose another folder with -o")) from error
    return [f"{folder}: {model.spec.num_params():,} parameters as transformers reads them", said]


def _write_tokenizer(spec: Any, tokenizer: Tokenizer, root: Path, folder: Path) -> str:
    """Write the tokenizer in the form that it has; return the line that says so."""
    if isinstance(spec, HfTokenizer):
        library = _with_specials(spec, tokenizer, root)
        write_json(folder / FILE, json.loads(library.to_str()))
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
        return f"the tokenizer is written as {FILE}"
    ranks = {text: number for number, text in enumerate(tokenizer.vocabulary()) if text is not None}
    write_ranks(folder / VOCABULARY, ranks)
    specials = ", ".join(f"{spelling} is {number}" for spelling, number in tokenizer.specials.items())
    note = f"; {specials}" if specials else ""
    return f"the vocabulary is written as {VOCABULARY}, which transformers does not read{note}"


def _with_specials(spec: HfTokenizer, tokenizer: Tokenizer, root: Path) -> Any:
    """Return the library's tokenizer with the declared special tokens under the ids that the run gave them.

    Raises LmcError (LM0716) if the library numbers them otherwise.
    """
    path = download(spec.repo, spec.commit or spec.revision) if spec.repo else existing(root / (spec.file or FILE))
    tokenizers: Any = library("tokenizers", "hf", "a tokenizer of Hugging Face")
    loaded = tokenizers.Tokenizer.from_str(json.dumps(read_file(path)))
    ordered = sorted(tokenizer.specials, key=lambda spelling: tokenizer.specials[spelling])
    loaded.add_special_tokens([tokenizers.AddedToken(s, special=True, normalized=False) for s in ordered])
    for spelling, number in tokenizer.specials.items():
        if loaded.token_to_id(spelling) != number:
            message = f"`{spelling}` is {number} here and {loaded.token_to_id(spelling)} in the written {FILE}"
            raise LmcError(Diagnostic("LM0716", message, None, help="the ids of the tokenizer's file have gaps"))
    return loaded
