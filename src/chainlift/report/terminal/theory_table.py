"""Terminal table of theory's predictions, readable without the paper."""

from __future__ import annotations

from typing import Any

from rich.table import Table

_CAPTION = (
    "Long: every running sum is written out, and the answer comes last. Short: the answer at once, which a learner "
    "that cannot see the whole sum can only guess. Greedy: the likeliest token each time. Sampled: drawn."
)


def theory_table(forecast: dict[str, Any]) -> Table:
    """A forecast (theory/forecast.py) as a table: quantity, prediction, meaning."""
    setting = forecast["setting"]
    table = Table(title=_title(setting), title_justify="left", caption=_CAPTION, caption_justify="left")
    for name, style in (("", ""), ("prediction", "bold"), ("what it means", "dim")):
        table.add_column(name, style=style, overflow="fold")
    for section in (_after_pretraining(forecast), _before_rl(forecast), _star(forecast), _reference(forecast)):
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


def _after_pretraining(forecast: dict[str, Any]) -> list[tuple[str, str, str]]:
    setting, K = forecast["setting"], forecast["setting"]["modulus"]
    side = "above" if forecast["greedy"] == "long" else "at or below"
    formula = "1/2" if setting["marker"] else f"1/(K + 1), K = {K}"
    return [
        ("threshold", f"{forecast['threshold']:.4g}", f"{formula}: greedy answers go long for larger shares only"),
        ("greedy answers", forecast["greedy"], f"{setting['p_cot']:.4g} is {side} the threshold"),
        ("greedy accuracy", f"{forecast['greedy_accuracy']:.4g}", f"a blind guess is {1 / K:.4g}"),
        ("greedy length", str(forecast["greedy_length_median"]), "tokens, without the end token"),
        (
            "sampled long share",
            f"{forecast['sampled_long_share']:.4g}",
            "the demonstrations' own share where the temperature is 1",
        ),
        ("sampled accuracy", f"{forecast['sampled_accuracy']:.4g}", "of all samples, the short ones' guesses included"),
        ("least loss", f"{forecast['loss_per_token']:.4g}", "nats a token: training cannot get below it blindly"),
    ]


def _before_rl(forecast: dict[str, Any]) -> list[tuple[str, str, str]]:
    size, preflight = forecast["setting"]["group_size"], forecast["preflight"]
    solved = ", ".join(f"{value:.3f} ({k})" for k, value in forecast["pass_at_k"].items())
    return [
        ("pass@k", solved, "probability that one of k samples is right"),
        ("mean reward", f"{preflight['reward_mean']:.4g}", "of samples before RL"),
        (
            "groups without signal",
            f"{preflight['groups_without_signal']:.4g}",
            f"all {size} samples of a prompt earn the same reward: group-relative algorithms learn nothing from them",
        ),
    ]


def _star(forecast: dict[str, Any]) -> list[tuple[str, str, str]]:
    rounds, to_share = forecast["star_rounds_to_flip"], forecast["star_rounds_to_99"]
    following = forecast["star_next_share"]
    shares = " ".join(f"{share:.3f}" for share in forecast["star_long_shares"])
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


def _reference(forecast: dict[str, Any]) -> list[tuple[str, str, str]]:
    reference = forecast["reference"]
    if reference is None:
        return []
    shares = reference["long_share"]
    shown = " ".join(f"{shares[round(i * (len(shares) - 1) / 8)]:.3f}" for i in range(9))
    name, num_updates = reference["algorithm"], len(shares) - 1
    return [
        (
            f"{name}: flips at update",
            _count(reference["updates_to_flip"], f"not within {num_updates}"),
            f"noise-free reference, {reference['step']:g} log-odds an update: a stated convention, see docs/theory.md",
        ),
        (f"{name}: long share", shown, f"at 9 moments from update 0 to {num_updates} of the reference"),
        (
            f"{name}: direction",
            f"{reference['drift'][0]:+.3g}, {reference['drift'][1]:+.3g}",
            "mean first update of the two log-odds (starting with x_1; going on after it)",
        ),
    ]


def _count(count: int | None, never: str = "never") -> str:
    return never if count is None else str(count)
