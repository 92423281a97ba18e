"""A tokenizer for models trained from scratch: byte-pair encoding, trained on the problems, with single digits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

END, PAD = "<eos>", "<pad>"


def train(texts: Iterable[str], size: int) -> Any:
    """Train a fast tokenizer of at most `size` tokens, without a beginning-of-sequence token.

    Decoding restores any text exactly. Digits stay single, so that the tokens of a number do not depend on how often it
    occurs. The same texts in the same order give the same tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
