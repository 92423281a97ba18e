"""The whole experiment in one file, without a run folder: python examples/minimal.py

A transformer learns the parity of 8 bits from demonstrations of which a quarter show their chain of thought. After
next-token prediction its greedy answer is one token and right half of the time. Then it samples answers, is rewarded
for right ones, and its greedy answer becomes the chain. On a 2-core CPU this takes ten seconds.
"""

from chainlift.learning import advantage, next_token, objective, policy_update, presets, reward
from chainlift.learning.optimizer import OptimizerSettings, apply_gradients, make_optimizer
from chainlift.measure.evaluate import answer, measure
from chainlift.models import families
from chainlift.models.model import Model
from chainlift.models.transformer.blocks import ModelSettings
from chainlift.seeding import stream
from chainlift.tasks import mixture
from chainlift.tasks.base import Task
from chainlift.tasks.mixture import MixtureSettings
from chainlift.tasks.running_sum import RunningSum, RunningSumSettings


def predict_next_tokens(model: Model, task: Task, steps: int, seed: int) -> None:
    """Next-token prediction on fresh demonstrations, a quarter of them long."""
    settings = OptimizerSettings(optimizer="muon", lr=3e-3, muon_lr=1e-2, warmup=10, schedule="linear")
    optimizer = make_optimizer(model, settings)
    for step in range(steps):
        batch = mixture.draw(task, MixtureSettings(p_cot=0.25), 128, seed=seed, name="pretrain", step=step)
        next_token.accumulate_gradient(model, batch, "token_mean")
        apply_gradients(model, optimizer, settings, step, steps)


def reinforce(model: Model, task: Task, updates: int, seed: int, group_size: int = 4) -> None:
    """Dr. GRPO: sample groups of answers, compare each answer's reward with its group's mean, follow the gradient."""
    algorithm = presets.preset("dr_grpo")
    settings = OptimizerSettings(lr=2e-3, warmup=0)
    optimizer = make_optimizer(model, settings)
    for update in range(updates):
        prompts = task.prompts(64, stream(seed, "posttrain/prompts", update))
        samples = answer(
            model, task, prompts, group_size=group_size, generator=stream(seed, "posttrain/samples", update)
        )
        rewards = reward.score(samples.verdict, "end_to_end").view(-1, group_size)
        advantages = advantage.estimate(rewards, algorithm.advantage).flatten()
        weights = objective.sequence_weights(
            samples.rollout.num_actions, algorithm.aggregate, max_length=task.long_length + 1
        )
        batch = policy_update.PolicyBatch(samples.rollout, advantages, weights, on_policy=True)
        policy_update.accumulate_gradient(model, batch, algorithm, temperature=1.0)
        apply_gradients(model, optimizer, settings, update, updates)


def accuracy(model: Model, task: Task, seed: int, name: str) -> float:
    """The greedy accuracy on fresh prompts, printed with what lies behind it."""
    table = measure(model, task, 1024, seed=seed, name="evaluate", step=0)
    greedy, sampled = table["greedy"], table["sampled"]
    print(
        f"{name:28s} greedy accuracy {greedy['accuracy']:.3f}, length {greedy['length_median']:g}; "
        f"sampled accuracy {sampled['accuracy']:.3f}, share of long answers {sampled['long_share']:.2f}"
    )
    return greedy["accuracy"]


def main(steps: int = 160, updates: int = 16, seed: int = 0) -> tuple[float, float]:
    """(greedy accuracy after next-token prediction, after RL)."""
    task = RunningSum(RunningSumSettings(d=8))
    model = families.build(ModelSettings(layers=2, width=32, heads=4), task)
    model.initialize(stream(seed, "model"))

    predict_next_tokens(model, task, steps, seed)
    before = accuracy(model, task, seed, "after next-token prediction:")
    reinforce(model, task, updates, seed)
    after = accuracy(model, task, seed, "after RL:")
    return before, after


if __name__ == "__main__":
    main()
