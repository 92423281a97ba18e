"""The vocabulary of a language model's tokenizer, with the interface of tasks of symbols."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainlift.tasks.base import EOS, Vocabulary


@dataclass(frozen=True, eq=False)
class TextVocabulary(Vocabulary):
    """The tokens of a tokenizer by id, as it stores them; the one that ends a sequence is `<eos>`, whatever its id."""

    tokenizer: Any = None
    """A fast tokenizer of transformers with an end-of-sequence and a padding token."""

    @classmethod
    def of(cls, tokenizer: Any, size: int | None = None) -> TextVocabulary:
        """The vocabulary of a tokenizer; ValueError if a model of `size` tokens does not have all of its tokens.

        size: tokens of the model, if it has more than the tokenizer (embeddings are often rounded up).
        """
        size = len(tokenizer) if size is None else size
        if size < len(tokenizer):
            raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, and model.vocabulary is {size}")
        stored = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        tokens = [*stored, *[None] * (size - len(stored))]
        tokens[tokenizer.eos_token_id] = EOS
        return cls(tuple(f"<{i}>" if token is None else token for i, token in enumerate(tokens)), tokenizer=tokenizer)

    @property
    def eos(self) -> int:
        """Id of the end-of-sequence token."""
        return self.tokenizer.eos_token_id

    @property
    def separator(self) -> str:
        """Nothing: tokens contain their blanks."""
        return ""

    def encode(self, text: str) -> Tensor:
        """Ids (T,) of a text, without special tokens that the text does not contain."""
        return torch.tensor(self.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=torch.long)

    def strings(self, ids: Tensor) -> list[str]:
        """The text of each of the ids (T,), or the name of a token without text."""
        texts = self._decoded([[i] for i in ids.tolist()])
        return [EOS if i == self.eos else text or self.tokens[i] for i, text in zip(ids.tolist(), texts, strict=True)]

    def decode(self, ids: Tensor) -> str:
        """The text of ids (T,), with its special tokens."""
        return self._decoded([ids.tolist()])[0]

    def texts(self, responses: Tensor, lengths: Tensor) -> list[str]:
        """The first `lengths` (N,) tokens of responses (N, R) as texts without special tokens."""
        rows = zip(responses.tolist(), lengths.tolist(), strict=True)
        return self._decoded([row[:length] for row, length in rows], skip_special_tokens=True)

    def _decoded(self, rows: Iterable[list[int]], *, skip_special_tokens: bool = False) -> list[str]:
        """The text of each row of ids, with all its blanks."""
        return self.tokenizer.batch_decode(
            list(rows), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )
