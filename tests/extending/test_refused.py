"""What is wrong with pieces of one's own is one line, before anything is trained."""

import re
from pathlib import Path

import pytest
import yaml

from chainlift.learning.presets import ALGORITHMS
from chainlift.learning.reward import REWARDS
from chainlift.stages import recipe
from tests.documented import files
from tests.extending.conftest import MIXER, own
from tests.in_process import command


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "posttrain.reward=chian",
            "posttrain.reward: reward 'chian' is not known, did you mean 'chain'?; known: chain, ",
        ),
        (
            "posttrain.algorithm=grop",
            "posttrain.algorithm: algorithm 'grop' is not known, did you mean 'grpo'?; known: ",
        ),
        ("model.family=mistrl", "model: family 'mistrl' is not known, did you mean 'mistral'?; known: gpt2, linear, "),
        ("posttrain.reward=my_pieces:no", "posttrain.reward: 'my_pieces:no' cannot be imported: AttributeError: "),
        (
            "posttrain.algorithm=my_pieces:no",
            "posttrain.algorithm: 'my_pieces:no' cannot be imported: AttributeError: ",
        ),
        ("model.family=my_pieces:no", "model: 'my_pieces:no' cannot be imported: AttributeError: "),
        ("model.family=nowhere:Mixer", "model: 'nowhere:Mixer' cannot be imported: ModuleNotFoundError: "),
        (
            "posttrain.reward=my_pieces:Mixer",
            "'my_pieces:Mixer' is not a valid reward: it must be a function",
        ),
        (
            "posttrain.algorithm=my_pieces:brief",
            "'my_pieces:brief' is not a valid algorithm: it must be a chainlift.",
        ),
        (
            "model.family=my_pieces:brief",
            "'my_pieces:brief' is not a valid family: it must be a subclass",
        ),
        (
            "model.family=other:Bare",
            "'other:Bare' is not a valid family: it must be a class with an attribute",
        ),
        ("model.widht=3", "model.widht: unknown key, did you mean 'width'?; allowed: family, layers, width"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_the_key(folder: Path, override: str, message: str) -> None:
    own(folder, "from chainlift.models.model import Model\nclass Bare(Model):\n    pass\n")
    ended = command("run", "tiny", *(MIXER if "widht" in override else []), override)
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert message in line
    assert override.partition("=")[0].partition(".")[0] in line
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (".tril()", "", "logits depend on later tokens"),
        ("def forward(self, tokens)", "def run(self, tokens)", "NotImplementedError: Module [Mixer] is missing"),
        ("self.head(self.norm(x))", "self.norm(x)", "read gives logits of the shape (2, 9, 32), not (B, "),
        ("self.head(self.norm(x))", "self.head(x) / 0 * nothing", "NameError: name 'nothing' is not defined"),
        ("nn.Embedding(context, settings.width)", "nn.Embedding(3, settings.width)", "RuntimeError: "),
        (
            "self.norm, self.head",
            "self.start = nn.Parameter(torch.randn(3))\n        self.norm, self.head",
            "start differs from call to call of initialize with the same generator",
        ),
        (
            "    def forward(self, tokens)",
            "    def logits(self, cache, suffix, rows=None):\n        return self.read(suffix, 0)\n\n"
            "    def forward(self, tokens)",
            "logits after prefill differ from those of read",
        ),
    ],
)  # fmt: skip
def test_a_family_that_does_not_fulfill_the_protocol_is_one_line(
    folder: Path, before: str, after: str, message: str
) -> None:
    text = files()["my_pieces.py"]
    assert before in text
    own(folder, text.replace(before, after))
    with pytest.raises(
        ValueError, match=re.escape(f"family 'other:Mixer' does not fulfill the protocol: {message}")
    ) as found:
        recipe.load("tiny", ["model.family=other:Mixer"])
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "verdict.answer_correct.float().mean()",
            "must give a tensor of the shape (4,), one number for each response (got the",
        ),
        ("[1.0] * 4", "must give a tensor of the shape (4,), one number for each response (got list)"),
        ("verdict.answer_correct / 0", "gives numbers that are not finite"),
        ("verdict.quality", "fails: AttributeError: 'Verdict' object has no attribute 'quality'"),
    ],
)
def test_a_reward_that_does_not_work_is_one_line_before_anything_is_trained(
    folder: Path, body: str, message: str
) -> None:
    own(folder, f"def mine(verdict):\n    return {body}\n")
    ended = command("run", "tiny", "posttrain.reward=other:mine")
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert f"reward 'other:mine' {message}" in line
    assert not (folder / "runs").exists()


def test_muon_needs_matrices(folder: Path) -> None:
    own(folder, files()["my_pieces.py"].replace("self.blocks", "self.parts"))
    with pytest.raises(ValueError, match="optimizer muon needs the matrices of blocks; family other:Mixer has none"):
        recipe.load("tiny", ["model.family=other:Mixer"])  # whose stage 1 has Muon
    recipe.load("tiny", ["model.family=other:Mixer", "pretrain.optimizer=adamw"])


def test_shipped_names_and_references_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="reward 'chain' is shipped with chainlift; choose another name"):
        REWARDS.register("chain", lambda verdict: verdict.answer_correct.float())
    with pytest.raises(ValueError, match="'a:b' is not a valid name of a reward"):
        REWARDS.register("a:b", lambda verdict: verdict.answer_correct.float())
    with pytest.raises(ValueError, match="'mine' is not a valid algorithm: it must be a chainlift"):
        ALGORITHMS.register("mine", {"advantage": "none"})


@pytest.mark.parametrize(
    ("part", "key", "name"),
    [
        ("model", "family", "Mixer"),
        ("posttrain", "reward", "brief"),
        ("posttrain", "algorithm", "my_objective"),
        ("distil", "kind", "Distil"),
    ],
)
def test_a_recipe_in_a_file_imports_no_piece(folder: Path, part: str, key: str, name: str) -> None:
    own(folder, f"open('ran.txt', 'w').close()\nfrom my_pieces import {name}\n")
    reference = f"other:{name}"
    content = yaml.safe_load(recipe.shipped()["tiny"].read_text(encoding="utf-8"))
    if part == "model":
        content["model"] = {"family": reference}
    else:
        content["stages"].setdefault(part, {})[key] = reference
    (folder / "evil.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    ended = command("run", "evil.yaml", "--dry-run")
    assert ended.status == 2
    (line,) = ended.err.splitlines()
    assert f"{reference!r} is code, and evil.yaml names it, not you" in line
    assert not (folder / "ran.txt").exists()
    recipe.load("evil.yaml", trust=True)
    recipe.load("evil.yaml", [f"{part}.{key}={reference}"])
    assert (folder / "ran.txt").exists()
