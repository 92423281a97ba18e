"""A Llama of random weights, so small that it answers in a moment."""

from chainlift.models.pretrained import loading
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.loading import LanguageModel
from chainlift.models.pretrained.shapes import ScratchSettings

SIZE = ScratchSettings(layers=1, width=32, heads=2, mlp=64, context=64, vocabulary=300)
TEXTS = ["Question: Anna has 12 apples.\nAnswer: #### 12", "Question: Ben has 3 boxes.\nAnswer: #### 3"]


def tiny(seed: int = 0) -> LanguageModel:
    return loading.load(PretrainedSettings(scratch=SIZE), TEXTS, seed=seed)
