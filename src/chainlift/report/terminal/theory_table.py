"""The terminal's table of predictions, for a reader who has not seen the paper."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def theory_table(told: dict[str, Any]) -> Table:
    """A forecast (theory/forecast.py) as a table: quantity, value, what it means."""
    setting = told["setting"]
    table = Table(title=_title(setting), title_justify="left", caption=_caption(told), caption_justify="left")
    for name, style in (("", ""), ("prediction", "bold"), ("what it means", "dim")):
        table.add_column(name, style=style, overflow="fold")
    for section in (_after_pretraining(told), _before_rl(told), _star(told), _reference(told)):
        for row in section:
            table.add_row(*row)
        table.add_section()
    return table


def _title(setting: dict[str, Any]) -> str:
    extras = [f"temperature {setting['temperature']:g}", f"reward {setting['reward']}"]
    extras += [f"chains right with probability {setting['q']:g}, else ending in a guess"] if setting["q"] < 1 else []
    extras += ["a marker names the form first"] if setting["marker"] else []
    return (
        f"Sums of {setting['d']} digits modulo {setting['modulus']}; {setting['p_cot']:.4g} of the demonstrations are "
        f"long ({', '.join(extras)})"
    )


def _caption(told: dict[str, Any]) -> str:
    return (
        "Long: every running sum is written out, and the answer comes last. Short: the answer at once, which a learner "
        "that cannot see the whole sum can only guess. Greedy: the likeliest token each time. Sampled: drawn."
    )


def _after_pretraining(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    setting, K = told["setting"], told["setting"]["modulus"]
    side = "above" if told["greedy"] == "long" else "at or below"
    formula = "1/2" if setting["marker"] else f"1/(K + 1), K = {K}"
    return [
        ("threshold", f"{told['threshold']:.4g}", f"{formula}: greedy answers go long for larger shares only"),
        ("greedy answers", told["greedy"], f"{setting['p_cot']:.4g} is {side} the threshold"),
        ("greedy accuracy", f"{told['greedy_accuracy']:.4g}", f"a blind guess is {1 / K:.4g}"),
        ("greedy length", str(told["greedy_length_median"]), "tokens, without the end token"),
        (
            "sampled long share",
            f"{told['sampled_long_share']:.4g}",
            "the demonstrations' own share where the temperature is 1",
        ),
        ("sampled accuracy", f"{told['sampled_accuracy']:.4g}", "of all samples, the short ones' guesses included"),
        ("least loss", f"{told['loss_per_token']:.4g}", "nats a token: training cannot get below it blindly"),
    ]


def _before_rl(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    size, found = told["setting"]["group_size"], told["preflight"]
    solved = ", ".join(f"{value:.3f} ({k})" for k, value in told["pass_at_k"].items())
    return [
        ("pass@k", solved, "probability that one of k samples is right"),
        ("mean reward", f"{found['reward_mean']:.4g}", "of samples before RL"),
        (
            "groups without signal",
            f"{found['groups_without_signal']:.4g}",
            f"all {size} samples of a prompt earn the same, so that GRPO and its kin learn nothing from them",
        ),
    ]


def _star(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    rounds, to_share = told["star_rounds_to_flip"], told["star_rounds_to_99"]
    following = told["star_next_share"]
    shares = " ".join(f"{share:.3f}" for share in told["star_long_shares"])
    return [
        (
            "STaR: next share",
            "nothing is kept" if following is None else f"{following:.4g}",
            "long share among the samples that earn the reward, which the next round learns from",
        ),
        ("STaR: rounds to flip", _count(rounds), "of sampling, keeping and fitting, until greedy answers are long"),
        ("STaR: rounds to 99 %", _count(to_share), "until that share of samples is long"),
        ("STaR: long share", shares, "of samples at temperature 1, after rounds 0, 1, 2, .."),
    ]


def _reference(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = told["reference"]
    if found is None:
        return []
    shares = found["long_share"]
    shown = " ".join(f"{shares[round(i * (len(shares) - 1) / 8)]:.3f}" for i in range(9))
    name, num_updates = found["algorithm"], len(shares) - 1
    return [
        (
            f"{name}: flips at update",
            _count(found["updates_to_flip"], f"not within {num_updates}"),
            f"noise-free reference, {found['step']:g} log-odds an update: a stated convention, see docs/theory.md",
        ),
        (f"{name}: long share", shown, f"at 9 moments from update 0 to {num_updates} of the reference"),
        (
            f"{name}: direction",
            f"{found['drift'][0]:+.3g}, {found['drift'][1]:+.3g}",
            "mean first update of the two log-odds (starting with x_1; going on after it)",
        ),
    ]


def _count(count: int | None, never: str = "never") -> str:
    return never if count is None else str(count)
