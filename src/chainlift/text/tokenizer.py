"""A tokenizer for models trained from scratch: byte-pair encoding, trained on the problems, with single digits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from chainlift.text.task import TextTask
from chainlift.text.templates import content

END, PAD = "<eos>", "<pad>"
NUM_PROBLEMS = 4000  # that train the tokenizer of a model from scratch


def of_task(task: TextTask, size: int) -> Any:
    """The tokenizer of a model from scratch: trained on both forms of the task's first training problems."""
    return train(texts_of(task), size)


def texts_of(task: TextTask) -> Iterator[str]:
    """Demonstrations of both forms, on which a tokenizer is trained."""
    for problem in islice(task.problems[0], NUM_PROBLEMS):
        for long in (False, True):
            yield content(task.prompt(problem)) + content(task.completion(problem, long=long))


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
