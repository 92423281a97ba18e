"""The operations that work cannot do without, against a count position by position, and against torch's own counter."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from chainlift.bench import states
from chainlift.bench.flops import LEARNING, all_different, contexts, forward, products
from chainlift.bench.machine import Machine
from chainlift.bench.ours import Engine
from chainlift.models.transformer.products import ProductSizes
from chainlift.stages import recipe as recipes
from chainlift.stages.kinds.rl import ReinforcementLearning
from chainlift.stages.recipe import Recipe

SIZES = ProductSizes(layers=2, width=8, kv_width=4, hidden=20, mlp_matrices=3, vocabulary=3, learned_positions=False)


def product(rows: int, inner: int, columns: int) -> int:
    return 2 * rows * inner * columns


def test_two_layers_by_hand() -> None:
    """One prefix of two tokens, and one suffix of three behind it."""
    first_block = product(3, 8, 8 + 4 + 4)  # a table with a row a token
    prefix = product(2, 8, 8) + 3 * product(2, 8, 20)  # the rest of the first block
    prefix += product(2, 8, 4 + 4)  # keys and values of the last one
    suffix = 2 * (product(3, 8, 8) + 3 * product(3, 8, 20)) + product(3, 8, 16) + product(3, 8, 3)
    seen = [1, 2], [3, 4, 5]  # in the first block both, in the last one the suffix
    attention = sum(2 * product(1, 8, keys) for keys in (*seen[0], *seen[1], *seen[1]))
    assert forward(SIZES, 1, 2, torch.tensor([1, 1, 1])) == first_block + prefix + suffix + attention


def test_one_layer_reads_no_prefix() -> None:
    one = replace(SIZES, layers=1)
    suffix = product(1, 8, 8) + 3 * product(1, 8, 20) + product(1, 8, 3)
    assert forward(one, 1, 2, torch.tensor([1])) == product(3, 8, 16) + suffix + 2 * product(1, 8, 3)


def test_learned_positions_have_a_row_a_token_and_position() -> None:
    learned = replace(SIZES, learned_positions=True)
    counts = torch.tensor([9, 9])
    more = forward(learned, 9, 2, counts) - forward(SIZES, 9, 2, counts)
    assert more == product(3 * 4 - 3, 8, 16)  # a table of 3 tokens at 2 + 2 positions
    assert (
        forward(learned, 1, 2, torch.tensor([1])) - forward(SIZES, 1, 2, torch.tensor([1])) == 0
    )  # 3 tokens either way


def test_nothing_takes_nothing() -> None:
    assert forward(SIZES, 0, 2, torch.tensor([], dtype=torch.long)) == 0


def test_contexts_that_rows_share_count_once() -> None:
    rows = torch.tensor([0, 0, 0, 1])
    responses = torch.tensor([[1, 0, 2], [1, 0, 2], [1, 1, 0], [1, 0, 2]])
    actions = torch.tensor([3, 3, 3, 1])
    assert contexts(rows, responses, actions).tolist() == [2, 1, 2]
    assert contexts(rows[:0], responses[:0], actions[:0]).tolist() == []


def test_rows_that_share_nothing() -> None:
    assert all_different(torch.tensor([1, 3, 3])).tolist() == [3, 2, 2]


@pytest.mark.parametrize("family", ["gpt2", "mistral"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_engine_multiplies_weights_as_often_as_is_needed_and_no_oftener(
    small: Recipe, family: str, layers: int, tmp_path: Path
) -> None:
    """An update of stage 1 on long demonstrations; attention apart, of which torch counts the masked half as well."""
    changes = [f"model.family={family}", f"model.layers={layers}", "mixture.p_cot=1", "pretrain.batch_size=64"]
    recipe = recipes.override(small, changes)
    states.save_new(recipe, tmp_path)
    engine = Engine(recipe, tmp_path, Machine())
    update = engine.next_token_update()
    with FlopCounterMode(display=False) as counter:
        update(0)
    counted = {str(kind): number for kind, number in counter.get_flop_counts()["Global"].items()}
    lengths = torch.full((64,), engine.task.long_length + 1)
    table = engine.sizes.vocabulary * (engine.prefix_length + int(lengths[0]) if family == "gpt2" else 1)
    needed = products(engine.sizes, 64 * engine.prefix_length, all_different(lengths))
    assert counted.get("aten.mm", 0) + counted.get("aten.addmm", 0) == LEARNING * (
        needed + 2 * table * engine.sizes.projection
    )


def test_what_every_action_needs_is_below_what_torch_counts(small: Recipe, folder: Path) -> None:
    engine = Engine(small, folder, Machine())
    found = small.first(ReinforcementLearning)
    assert found is not None
    _, rl = found
    actions = {
        "stage1": engine.next_token_update(),
        "rollout": engine.rollout(rl),
        "update": engine.update(rl, algorithm="grpo", coins=True),
        "evaluate": engine.evaluate(16),
    }
    for name, action in actions.items():
        with FlopCounterMode(display=False) as counter:
            count = action(1)
        assert 0 < count().flops <= counter.get_total_flops(), name
        assert count().sequences > 0, name
        assert count().tokens > 0, name
