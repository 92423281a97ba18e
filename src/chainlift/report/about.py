"""Descriptions of a run's task and model in words, from the recorded recipe; the task's code is not imported."""

from __future__ import annotations

from typing import Any

from chainlift.runs import stage_views

OPTIONS = {
    "sparse": "only {sparse} of the {d} positions count, always the same ones, which the learner must find",
    "leap": "a chain shows every {leap}. step only, and the last",
    "noise": "each step of a demonstrated chain is wrong with probability {noise:g}, and the rest {builds}",
    "d_min": "prompts have {d_min} to {d} of them",
    "order": "chains begin at the prompt's last position",
}
MARKERS = {
    "none": "",
    "long": "a long response opens with >",
    "both": "a long response opens with >, a short one with =",
}
LEARNERS = {"gpt2": "A small transformer", "mistral": "A small transformer", "linear": "A linear model"}


def about(recipe: dict[str, Any]) -> str:
    """Sentences that describe the task: its prompts, its answers, and what a long response contains."""
    task = recipe["task"]
    if stage_views.is_text(recipe):
        return _problems(task)
    task_sentences = {
        "running_sum": _running_sum,
        "permutation": _permutation,
        "multiplication": _multiplication,
        "graph_path": _graph_path,
    }.get(task["name"], _other)(task)
    return " ".join(filter(None, (task_sentences, _options(task))))


def chance(recipe: dict[str, Any], summary: dict[str, Any] | None) -> float:
    """Accuracy of a blind guess: from the summary, or 1 / modulus for runs without that entry."""
    if stage_views.is_text(recipe):
        return 0.0
    recorded = None if summary is None else summary["theory"].get("chance")
    return 1 / recipe["task"].get("modulus", 2) if recorded is None else recorded


def learner(recipe: dict[str, Any]) -> str:
    """The model, as the subject of a sentence."""
    model = recipe["model"]
    if not stage_views.is_text(recipe):
        family = model.get("family", "gpt2")
        return LEARNERS.get(family, f"A small model of the family {family}")
    if model.get("path") is not None:
        return f"The pretrained model {model['path']}" + (", by low-rank adapters," if model.get("lora") else "")
    sizes = model.get("scratch") or model  # family transformers has the sizes in a section of their own
    return f"A Llama of {sizes['layers']} layers and width {sizes['width']}, from scratch,"


def _problems(task: dict[str, Any]) -> str:
    descriptions = {"gsm8k": "a word problem of GSM8K", "math": "a problem of MATH"}
    problem = descriptions.get(task["name"])
    if problem is None:
        low, high = task.get("min_steps"), task.get("max_steps")
        steps = f"{low} to {high} steps" if low != high else f"{low} step{'s' if low != 1 else ''}"
        problem = f"a generated word problem of {steps}"
    return (
        f"A prompt is {problem}. A long response works out the solution before the answer, a short one gives only the "
        "answer. Test problems are no training problems."
    )


def _running_sum(task: dict[str, Any]) -> str:
    d, modulus = task.get("d"), task.get("modulus", 2)
    parity = " (the parity of the bits)" if modulus == 2 else ""
    return (
        f"A prompt is {d} digits from 0 to {modulus - 1}; the answer is their sum modulo {modulus}{parity}. A long "
        "response writes down the running sums, a short one only the answer, which a blind guess finds with "
        f"probability 1/{modulus}."
    )


def _permutation(task: dict[str, Any]) -> str:
    return (
        f"A prompt is {task.get('d')} permutations of {task.get('degree', 3)} things; the answer is what they make of "
        "them, one after the other. A long response writes down the permutation reached after each, a short one only "
        "the last."
    )


def _multiplication(task: dict[str, Any]) -> str:
    n = task.get("n")
    return (
        f"A prompt is a product of numbers with {n} and {task.get('m') or n} digits, the lowest digit first. A long "
        "response writes down the partial products and running sums before the result, a short one only the result. "
        "Pairs of factors that are measured never occur in training or RL."
    )


def _graph_path(task: dict[str, Any]) -> str:
    questions = {"end": "where its paths end", "reach": "whether a second node can be reached from it"}
    return (
        "A prompt is the edges of a directed graph and a node; the answer is "
        f"{questions[task.get('question', 'end')]}. A long response first walks there, by any path; a "
        "short one only answers."
    )


def _other(task: dict[str, Any]) -> str:
    return f"The task is {task['name']}."


def _options(task: dict[str, Any]) -> str:
    """Sentences about the options of a prefix chain that differ from their defaults."""
    texts = [
        text.format(**task, builds="builds on it" if task.get("noise_follows", True) else "does not build on it")
        for key, text in OPTIONS.items()
        if task.get(key) not in (None, 1, 0.0, "left_to_right")
    ]
    texts.append(MARKERS.get(task.get("marker", "none"), "") if task["name"] != "multiplication" else "")
    sentences = [text[0].upper() + text[1:] for text in texts if text]
    return " ".join(f"{text}." for text in sentences)
