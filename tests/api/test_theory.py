"""`cl.theory`: every argument reaches the formulas."""

import chainlift as cl
from chainlift.learning.presets import PRESETS
from chainlift.theory.forecast import forecast
from chainlift.theory.mode_policy import Setting


def test_every_argument_reaches_the_formulas() -> None:
    found = cl.theory(
        0.2, d=7, modulus=3, temperature=1.5, chain_accuracy=0.8, reward="chain", marker=True, algorithm="rloo",
        group_size=4, updates=5, step=0.2, prompts=16,
    )  # fmt: skip
    setting = Setting(modulus=3, d=7, marker=True, q=0.8, reward="chain", temperature=1.5)
    assert found == forecast(
        setting, 0.2, algorithm=PRESETS["rloo"], name="rloo", group_size=4, updates=5, step=0.2, prompts=16
    )
