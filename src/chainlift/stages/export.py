"""A checkpoint as a folder to take away: the model without the trainer's state, and a card."""

from __future__ import annotations

import shutil
from pathlib import Path

from chainlift import recipe as recipes
from chainlift.models import hub
from chainlift.models.checksums import CHECKSUMS
from chainlift.models.transformer import Transformer
from chainlift.runs.store import RunFolder
from chainlift.stages import inspect, model_card
from chainlift.stages.new_folder import new_folder

CARD = "README.md"


def export(target: Path, folder: Path) -> None:
    """Copy a checkpoint's model with a card into a new or empty folder, which transformers opens.

    target: a checkpoint, or a run folder, of the small engine or of a language model. ValueError if there is none, if
    it is damaged, or if transformers has no class for it.
    """
    source = inspect.newest(target)
    run = next((one for one in (target, source.parent.parent) if (one / "recipe.yaml").is_file()), None)
    content = {} if run is None else RunFolder(run).recipe()
    task = None
    if not recipes.is_llm(content):
        model, task = hub.load(source)  # a damaged checkpoint is refused here, before anything is written
        if not isinstance(model, Transformer):
            raise ValueError(f"{source} holds a {model.settings.family} model, which transformers has no class for")
    summary = RunFolder(run).summary() if run is not None and (run / "summary.json").is_file() else None
    with new_folder(folder):
        for file in source.iterdir():
            if file.is_file() and not file.name.startswith("trainer_state") and file.name not in (CARD, CHECKSUMS):
                shutil.copyfile(file, folder / file.name)
        (folder / CARD).write_text(model_card.card(folder.name, source.name, content, summary, task), encoding="utf-8")
