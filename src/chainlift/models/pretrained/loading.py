"""Load a language model and its tokenizer from a folder, a GGUF file or a hub name, or build them from scratch."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from chainlift.models import checksums
from chainlift.models.pretrained.family import PretrainedSettings
from chainlift.models.pretrained.shapes import ScratchSettings, scratch_config, shape_config
from chainlift.seeding import derive
from chainlift.text import tokenizer as vocabulary

NEEDED = "language models need the extra llm: pip install 'chainlift[llm]'"


class LanguageModel(NamedTuple):
    """A causal language model of transformers with its tokenizer."""

    model: Any
    tokenizer: Any


def require_llm_extra() -> None:
    """Import the libraries of the extra `llm`, and silence them; a one-line ValueError if they are not installed.

    Turns off cuDNN attention, too, which plans a kernel for every new shape of a batch
    (transformer/attention_kernels.py).
    """
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    torch.backends.cuda.enable_cudnn_sdp(False)
    require_transformers()
    try:
        import datasets
        import trl  # noqa: F401
    except ImportError as error:
        raise ValueError(NEEDED) from error
    datasets.disable_progress_bars()


def require_transformers() -> None:
    """Import transformers, without progress bars and telemetry; a one-line ValueError if it is not installed."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        import transformers
    except ImportError as error:
        raise ValueError(NEEDED) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def load(settings: PretrainedSettings, texts: Iterable[str], *, seed: int) -> LanguageModel:
    """Load a recipe's model, on the CPU, and its tokenizer, or build them from scratch.

    From scratch, the tokenizer is trained on `texts`, and the weights are drawn by `seed`. One-line ValueError for a
    folder without a model, or a hub name whose download is not allowed.
    """
    require_llm_extra()
    if settings.path is None:
        assert settings.scratch is not None
        tokenizer = vocabulary.train(texts, settings.scratch.vocabulary)
        model = _from_scratch(settings.scratch, tokenizer, seed)
        return LanguageModel(model.to(getattr(torch, settings.weights)), tokenizer)
    return open_folder(settings.path, settings.gguf_file, download=settings.download, weights=settings.weights)


def open_folder(
    path: str, gguf_file: str | None = None, *, download: bool = False, weights: str = "float32"
) -> LanguageModel:
    """Load model and tokenizer from a folder or a hub name; ValueError names a file that differs from its checksum."""
    checksums.check(Path(path))
    tokenizer = open_tokenizer(path, gguf_file, download=download)
    model = open_model(path, gguf_file, download=download, weights=weights)
    return LanguageModel(_set_generation_config(model, tokenizer), tokenizer)


def open_model(path: str, gguf_file: str | None = None, *, download: bool = False, weights: str = "float32") -> Any:
    """Load a model without its tokenizer from a folder or a hub name."""
    from transformers import AutoModelForCausalLM

    options = {"dtype": getattr(torch, weights)}
    if locate(path, gguf_file)[1] is None:
        options["use_safetensors"] = True  # never a pickle
    return _unquantized(_open(AutoModelForCausalLM, path, gguf_file, download=download, **options))


def _unquantized(model: Any) -> Any:
    """The model without its quantization config, for trainers, which refuse to train a quantized model.

    A model from a GGUF file keeps that config although its weights are dequantized.
    """
    if not getattr(model, "is_quantized", False):
        return model
    config = copy.deepcopy(model.config)
    del config.quantization_config
    plain = type(model)(config).to(model.dtype)
    plain.load_state_dict(model.state_dict())
    return plain


def open_tokenizer(path: str, gguf_file: str | None = None, *, download: bool = False) -> Any:
    """Load the tokenizer of a folder or a hub name, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = _open(AutoTokenizer, path, gguf_file, download=download)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"model.path: the tokenizer of {path} has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so that the token does not matter
    tokenizer.padding_side = "left"
    return tokenizer


def configuration(settings: PretrainedSettings) -> Any:
    """The configuration in transformers of a recipe's model, without weights; ValueError if it is not available."""
    from transformers import AutoConfig

    if settings.scratch is not None:
        return scratch_config(settings.scratch, settings.scratch.vocabulary)
    if settings.shape is not None:
        return shape_config(settings.shape)
    assert settings.path is not None
    return _open(AutoConfig, settings.path, settings.gguf_file, download=False)


def _open(auto_class: Any, path: str, gguf_file: str | None, *, download: bool, **options: Any) -> Any:
    """Call `from_pretrained` of an auto class for a folder or hub name; one-line ValueError if it fails.

    Code beside a model's weights is never run, and the user is never prompted for it.
    """
    where, file = locate(path, gguf_file)
    if file is not None:
        options["gguf_file"] = file
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars that no setting turns off
            return auto_class.from_pretrained(where, local_files_only=not download, trust_remote_code=False, **options)
    except ImportError as error:
        raise ValueError(f"model.path: {path} needs another package: {' '.join(str(error).split())[:200]}") from error
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(failure(path, error, download=download)) from error
    except Exception as error:  # damaged files make transformers and its libraries raise anything
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"model.path: {path} does not open: {message}") from error


def _set_generation_config(model: Any, tokenizer: Any) -> Any:
    """Replace the checkpoint's generation_config.json by token ids only, and return the model."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        eos_token_id=[tokenizer.eos_token_id], pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _from_scratch(settings: ScratchSettings, tokenizer: Any, seed: int) -> Any:
    """Build a Llama with random weights from the stream `llm/model`."""
    from transformers import LlamaForCausalLM

    config = scratch_config(settings, len(tokenizer))
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "llm/model"))
        model = LlamaForCausalLM(config)
    return _set_generation_config(model, tokenizer)


def locate(path: str, gguf_file: str | None) -> tuple[str, str | None]:
    """(folder or hub name, GGUF file in it or None) of `model.path`; ValueError if there is no such model."""
    if path.startswith("package:"):
        folder = _package_folder(path.removeprefix("package:"))
        gguf_files = sorted(folder.glob("*.gguf"))
        if len(gguf_files) != 1 and gguf_file is None:
            raise ValueError(f"model.path: {folder} holds {len(gguf_files)} GGUF files; name one by model.gguf_file")
        return str(folder), gguf_file or gguf_files[0].name
    folder = Path(path)
    if folder.is_dir():
        if gguf_file is not None and not (folder / gguf_file).is_file():
            raise ValueError(f"model.gguf_file: there is no {gguf_file} in {folder}")
        if gguf_file is None and not (folder / "config.json").is_file():
            raise ValueError(f"model.path: {folder} is not a model folder: it has no config.json")
        return path, gguf_file
    looks_local = path.startswith((".", "/", "~")) or path.count("/") != 1
    if looks_local:
        raise ValueError(f"model.path: there is no folder {path}; give a model's folder, or a hub name like OWNER/NAME")
    return path, gguf_file


def _package_folder(name: str) -> Path:
    """The folder of an installed package; ValueError if it is not installed."""
    import importlib.util

    if not name.isidentifier():  # to find `a.b`, Python would import `a`
        raise ValueError(f"model.path: {name!r} is not the name of a package")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"model.path: the package {name} is not installed: pip install --no-deps {name.replace('_', '-')} "
            "(only its file is read)"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def failure(path: str, error: Exception, *, download: bool) -> str:
    """One line that says why a model does not open."""
    if "trust_remote_code" in str(error):
        return (
            f"model.path: {path} needs Python code that is stored beside its weights, which is never run; "
            "give a model whose architecture transformers knows"
        )
    if Path(path).is_dir():
        return f"model.path: {path} does not open: {' '.join(str(error).split())[:200]}"
    if not download:
        return (
            f"model.path: {path} is neither a folder nor in the local cache; nothing is downloaded without permission: "
            "give a folder, or model.download=true"
        )
    return f"model.path: {path} cannot be downloaded: {' '.join(str(error).split())[:200]}"
