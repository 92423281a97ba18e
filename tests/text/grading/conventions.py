"""Two ways to read answers that are in wide use, after lm-evaluation-harness's task gsm8k (lm_eval/tasks/gsm8k)."""

import re

from chainlift.text.grading.boxed import find_boxed

MARKED = r"#### (\-?[0-9\.\,]+)"


def last_number(response: str, gold: str) -> bool:
    """lm-evaluation-harness, gsm8k, `flexible-extract`."""
    matches = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", response)
    text = next((group for group in matches[-1] if group), "") if matches else ""
    return cleaned(text) == cleaned(gold)


def strict_match(response: str, gold: str) -> bool:
    """lm-evaluation-harness, gsm8k, `strict-match`."""
    match = re.search(MARKED, response)
    return match is not None and cleaned(match[1]) == cleaned(gold)


def strict_mark(response: str, gold: str) -> bool:
    """The same, and without a number after a mark the last box, compared as texts."""
    return strict_match(response, gold) if re.search(MARKED, response) else find_boxed(response) == gold


def cleaned(text: str) -> str:
    """What both leave out before they compare texts."""
    return re.sub(r",|\$|\.$", "", text).strip()
