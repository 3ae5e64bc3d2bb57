"""From what a spec says about sampling to settings of rows: texts become token ids."""

from __future__ import annotations

from collections.abc import Iterable

from ...spec.diagnostic import Diagnostic, LmcError
from ...spec.sample import Sample
from ..tokenizers.base import Tokenizer
from .sampling import Sampling


def sampling_of(spec: Sample, tokenizer: Tokenizer, seed: int = 0) -> Sampling:
    """Return the settings of a row with `seed`.

    Raises LmcError: LM0303 for a text that is not exactly one token, or a token with two biases; LM0609 for an
    undeclared special token.
    """
    tokens = [bias.token for bias in spec.biases.values()]
    ids = _ids(tokens, "bias", tokenizer)
    twice = next((token for at, token in enumerate(tokens) if ids[at] in ids[:at]), None)
    if twice is not None:
        raise LmcError(Diagnostic("LM0303", f"two biases are of the token {_quoted(twice)}", None, help="drop one"))
    return Sampling(
        spec.temperature,
        spec.top_k,
        spec.top_p,
        min_p=spec.min_p,
        repetition=spec.repetition,
        presence=spec.presence,
        frequency=spec.frequency,
        bias=tuple((token, bias.add) for token, bias in zip(ids, spec.biases.values(), strict=True)),
        banned=tuple(dict.fromkeys(_ids(spec.banned, "banned", tokenizer))),
        seed=seed,
    )


def _ids(texts: Iterable[str], what: str, tokenizer: Tokenizer) -> list[int]:
    found = []
    for text in texts:
        # As a text goes on, where a tokenizer writes no space before it.
        ids = tokenizer.encode_pieces(tokenizer.pieces(text), start=False)
        if len(ids) != 1:
            message = f"`{what}` is of single tokens; {_quoted(text)} is {len(ids)} tokens of this tokenizer"
            spelled = ", ".join(_quoted(tokenizer.decode([number])) for number in ids[:8])
            help = f"its tokens are {spelled}" if ids else "name a token or a declared special"
            raise LmcError(Diagnostic("LM0303", message, None, help=help))
        found.append(ids[0])
    return found


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
