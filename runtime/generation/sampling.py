"""Sampling: one uniform number per (seed, position), turned into a token by the filtered distribution.

Order, of `adjust`: bias and bans; repetition; presence and frequency. Then whoever constrains the tokens does. Of
`sample`: temperature; top-k; top-p of what is left; min-p, relative to the likeliest token; the rest is renormalised.
That is the order of `generate` in transformers (`_get_logits_processor`: sequence_bias, repetition_penalty,
prefix_allowed_tokens_fn, temperature, top_k, top_p, min_p), which has no presence and frequency. Greedy rows obey all
of `adjust`.

A row's token is a function of its own logits, past, settings and position, to the bit, whatever the batch; a position
has one number wherever a prompt ended, so that going on later is going on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import or_

import torch
from attrs import field, frozen
from torch import Tensor

from .draw import FEW, draw, draw_one, key_of, largest, masses_of, nucleus, numbers_of

COLD, WARM, TEMPERED, TOP_K, TOP_P, MIN_P, BIASED, REPEATS, COUNTS = (1 << bit for bit in range(9))
"""What a row asks for, as bits."""


@frozen
class Sampling:
    """How one row samples.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: how many of the likeliest tokens stay, of equally likely ones those with smaller ids; None: all.
        top_p: (0, 1], the fewest likeliest tokens that have this share stay (Holtzman et al. 2020); None: all.
        min_p: [0, 1], tokens below this share of the likeliest one's probability go (Nguyen et al. 2024); None: none.
        repetition: > 0, divides positive and multiplies negative logits of tokens in prompt, continuation and what
            tools wrote (Keskar et al. 2019, section 4.1); 1 changes nothing.
        presence: subtracted from the logit of each token that the row generated (OpenAI's definition).
        frequency: subtracted as often as the row generated the token (OpenAI's definition).
        bias: (token id, number) pairs, the number is added to the logit; each id once.
        banned: ids that are never sampled.
        seed: of the row's uniform numbers; 64 bits count.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = field(default=None, kw_only=True)
    repetition: float = field(default=1.0, kw_only=True)
    presence: float = field(default=0.0, kw_only=True)
    frequency: float = field(default=0.0, kw_only=True)
    bias: tuple[tuple[int, float], ...] = field(default=(), kw_only=True)
    banned: tuple[int, ...] = field(default=(), kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        numbers = (self.temperature, self.repetition, self.presence, self.frequency, *(n for _, n in self.bias))
        if not all(map(math.isfinite, numbers)):
            raise ValueError("temperature, penalties and bias are finite numbers")
        if self.temperature < 0:
            raise ValueError(f"temperature is at least 0, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is above 0 and at most 1, not {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p is between 0 and 1, not {self.min_p}")
        if self.repetition <= 0:
            raise ValueError(f"repetition is above 0, not {self.repetition}")
        if len({token for token, _ in self.bias}) < len(self.bias):
            raise ValueError("bias names a token twice")

    def _wants(self) -> int:
        bits = COLD if self.temperature == 0 else WARM
        if bits == WARM:
            bits |= TEMPERED * (self.temperature != 1) | TOP_K * (self.top_k is not None)
            bits |= TOP_P * (self.top_p not in (None, 1)) | MIN_P * bool(self.min_p)
        bits |= BIASED * bool(self.bias or self.banned) | REPEATS * (self.repetition != 1)
        return bits | COUNTS * bool(self.presence or self.frequency)


class Samplers:
    """The settings of the rows of a running batch, and what penalties must remember; edited in place.

    Tables of [rows, num_ids] exist once a row wants them. Nothing waits for the device.
    """

    def __init__(self, rows: int, num_ids: int, device: torch.device) -> None:
        """Make `rows` greedy rows over `num_ids` token ids."""
        self.num_ids, self.device = num_ids, device
        self.settings = [Sampling()] * rows
        self._wants = [COLD] * rows
        self._firsts: dict[int, tuple[int, dict[str, Tensor]]] = {}
        zeros, ones = torch.zeros(rows, 1, device=device), torch.ones(rows, 1, device=device)
        self.columns: dict[str, Tensor] = {
            "cold": ones.bool(),
            "temperature": ones.clone(),
            "dropped": zeros.long(),
            "rest": zeros.double(),
            "min_p": zeros.clone(),
            "repetition": ones.clone(),
            "presence": zeros.clone(),
            "frequency": zeros.clone(),
            "key": zeros.long(),
        }

    def put(self, row: int, sampling: Sampling, prompt: Sequence[int]) -> None:
        """Give a row to another request; `prompt` counts for `repetition`.

        Raises ValueError for a bias or ban of an id that is none.
        """
        named = [*(token for token, _ in sampling.bias), *sampling.banned]
        wrong = next((token for token in named if not 0 <= token < self.num_ids), None)
        if wrong is not None:
            raise ValueError(f"bias and bans are of token ids below {self.num_ids:,}, not {wrong}")
        values = {
            "cold": sampling.temperature == 0,
            # In float32 a quotient must be neither 0 / 0 nor of two infinities.
            "temperature": min(max(sampling.temperature, 1e-30), 1e30) if sampling.temperature else 1.0,
            "dropped": self.num_ids - min(sampling.top_k or self.num_ids, self.num_ids),
            "rest": 0.0 if sampling.top_p is None else 1 - sampling.top_p,
            "min_p": sampling.min_p or 0.0,
            "repetition": sampling.repetition,
            "presence": sampling.presence,
            "frequency": sampling.frequency,
            "key": key_of(sampling.seed),
        }
        for name, value in values.items():
            self.columns[name][row] = value
        self._set(row, sampling)
        self._fill(row, sampling, prompt)

    def _fill(self, row: int, sampling: Sampling, prompt: Sequence[int]) -> None:
        wants = self._wants[row]
        if wants & BIASED:
            # -0.0 is what leaves every logit as it is, zeros of either sign included.
            table = self._table("bias", torch.float32)
            table[row] = -0.0
            if sampling.bias:
                tokens, numbers = zip(*sampling.bias, strict=True)
                table[row, list(tokens)] = torch.tensor(numbers, dtype=table.dtype, device=self.device)
            table[row, list(sampling.banned)] = -torch.inf
        elif "bias" in self.columns:
            self.columns["bias"][row] = -0.0
        if wants & COUNTS:
            self._table("counts", torch.float32)[row] = 0
        if wants & REPEATS:
            self._table("seen", torch.bool)[row] = False
            self.seen(row, prompt)

    def _table(self, name: str, dtype: torch.dtype) -> Tensor:
        if name not in self.columns:
            neutral = -0.0 if name == "bias" else 0
            shape = (len(self.settings), self.num_ids)
            self.columns[name] = torch.full(shape, neutral, dtype=dtype, device=self.device)
        return self.columns[name]

    def _set(self, row: int, sampling: Sampling) -> None:
        self.settings[row], self._wants[row] = sampling, sampling._wants()
        self._firsts.clear()

    def _first(self, rows: int) -> tuple[int, dict[str, Tensor]]:
        """Return what any of the first rows wants, and their part of each column."""
        if rows not in self._firsts:
            columns = {name: column[:rows] for name, column in self.columns.items()}
            self._firsts[rows] = reduce(or_, self._wants[:rows], 0), columns
        return self._firsts[rows]

    def move(self, source: int, target: int) -> None:
        """Make row `target` what row `source` is."""
        for column in self.columns.values():
            column[target] = column[source]
        self._set(target, self.settings[source])

    def seen(self, row: int, tokens: Sequence[int]) -> None:
        """Count tokens that the row did not generate, for `repetition`."""
        if self._wants[row] & REPEATS and tokens:
            self.columns["seen"][row, list(tokens)] = True

    def unheard(self, row: int, token: int, tokens: Sequence[int]) -> None:
        """Take back a generated token that was cut short; the row's text is `tokens` now."""
        if self._wants[row] & COUNTS:
            self.columns["counts"][row, token] -= 1
        if self._wants[row] & REPEATS:
            self.columns["seen"][row] = False
            self.seen(row, tokens)

    @property
    def bans(self) -> bool:
        """Whether a row bans tokens."""
        return any(setting.banned for setting in self.settings)

    def heard(self, tokens: Tensor, active: Tensor) -> None:
        """Count int64[B] generated tokens of the first rows where bool[B] `active`, for penalties."""
        wanted, columns = self._first(len(tokens))
        if not wanted & (COUNTS | REPEATS):
            return
        at, active = tokens[:, None], active[:, None]
        if wanted & COUNTS:
            columns["counts"].scatter_add_(1, at, active.to(columns["counts"].dtype))
        if wanted & REPEATS:
            seen = columns["seen"]
            seen.scatter_(1, at, seen.gather(1, at) | active)

    def adjust(self, logits: Tensor) -> Tensor:
        """Return float[B, V] logits of the first rows after bias, bans and penalties; the same object if none are."""
        wanted, columns = self._first(len(logits))
        if wanted & BIASED:
            logits = logits + columns["bias"]
        if wanted & REPEATS:
            factor = columns["repetition"]
            logits = torch.where(columns["seen"], torch.where(logits > 0, logits / factor, logits * factor), logits)
        if wanted & COUNTS:
            counts = columns["counts"]
            logits = logits - columns["presence"] * (counts > 0) - columns["frequency"] * counts
        return logits

    def sample(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return int64[B] tokens of float[B, V] adjusted logits for the first rows, of int64[B] tokens so far."""
        wanted, columns = self._first(len(logits))
        if not wanted & WARM:
            return largest(logits)
        probabilities = logits.float()
        if wanted & TEMPERED:
            # Relative to the largest logit, which no temperature makes overflow.
            probabilities = (probabilities - probabilities.amax(dim=-1, keepdim=True)) / columns["temperature"]
        probabilities = probabilities.softmax(dim=-1)
        numbers = numbers_of(columns["key"], lengths[:, None])
        if len(logits) == 1 and logits.device.type == "cpu" and logits.shape[1] <= FEW:
            one = self.settings[0]
            return torch.tensor([draw_one(probabilities.numpy()[0], float(numbers), one.top_k, one.top_p, one.min_p)])
        masses = masses_of(probabilities)
        if wanted & (TOP_K | TOP_P):
            masses *= nucleus(probabilities, columns["dropped"] if wanted & TOP_K else None, columns["rest"])
        if wanted & MIN_P:
            masses *= probabilities >= columns["min_p"] * probabilities.amax(dim=-1, keepdim=True)
        tokens = draw(masses, numbers)
        if wanted & COLD:
            tokens = torch.where(columns["cold"], largest(logits)[:, None], tokens)
        return tokens[:, 0]
