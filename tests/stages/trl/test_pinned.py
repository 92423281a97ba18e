"""Every field of TRL's configurations either is passed or cannot change what is learned; a new field is refused."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from chainlift.stages.kinds import trl_rl
from chainlift.stages.trl import pinned, training
from tests.stages.trl.small_text import context, place, small

RECORDING = """
    disable_tqdm do_eval do_predict do_train enable_jit_checkpoint eval_accumulation_steps eval_delay
    eval_do_concat_batches eval_on_start eval_steps eval_strategy eval_use_gather_object batch_eval_metrics
    bf16_full_eval fp16_full_eval per_device_eval_batch_size prediction_loss_only greater_is_better include_for_metrics
    include_num_input_tokens_seen label_names load_best_model_at_end metric_for_best_model log_level log_level_replica
    log_on_each_node logging_first_step logging_nan_inf_filter logging_steps logging_strategy output_dir report_to
    run_name project push_to_hub hub_always_push hub_model_id hub_private_repo hub_revision hub_strategy hub_token
    save_on_each_node save_only_model save_steps save_strategy save_total_limit skip_memory_metrics debug
    trackio_bucket_id trackio_space_id trackio_static_space_id num_generations_eval eval_packing log_completions
    log_multimodal num_completions_to_print log_unique_prompts log_completions_hub_repo
"""
"""What is measured, written down or kept."""

MACHINE = """
    accelerator_config activation_checkpointing activation_checkpointing_kwargs activation_offloading
    dataloader_in_order dataloader_multiprocessing_context dataloader_num_workers dataloader_persistent_workers
    dataloader_pin_memory dataloader_prefetch_factor ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb
    ddp_find_unused_parameters ddp_static_graph ddp_timeout deepspeed ds3_gather_for_generation fsdp fsdp_config
    gradient_checkpointing gradient_checkpointing_kwargs local_rank parallelism_config tf32 torch_compile
    torch_compile_backend torch_compile_mode torch_empty_cache_steps use_cache use_cpu dataset_num_proc
    vllm_enable_sleep_mode vllm_server_base_url vllm_server_host vllm_server_port vllm_server_timeout vllm_group_port
    vllm_tensor_parallel_size
"""
"""Where and how fast the same sums are done."""

WITHOUT_EFFECT = """
    num_train_epochs ignore_data_skip restore_callback_states_from_checkpoint resume_from_checkpoint full_determinism
    data_seed length_column_name dataset_text_field liger_kernel_config sapo_temperature_neg sapo_temperature_pos
    vespo_k_pos vespo_k_neg vespo_lambda_pos vespo_lambda_neg ref_model_mixup_alpha ref_model_sync_steps
    entropy_coef_min entropy_coef_max entropy_coef_delta entropy_target max_tool_calling_iterations
    transformers_continuous_batching_config use_transformers_paged vllm_importance_sampling_cap
"""
"""Read only where a pinned argument turns it on (a loss, an adaptive coefficient, an epoch's end), or an old name."""


EXCUSED = set(f"{RECORDING} {MACHINE} {WITHOUT_EFFECT}".split())


def given(algorithm: str, tmp_path: Path) -> dict[str, Any]:
    """What the configuration of an algorithm, or of fine-tuning, is given."""
    if algorithm == "sft":
        one = context(tmp_path, small())
        return {**training.arguments(one, place(one, "pretrain"), batch_size=8, steps=6), **pinned.SFT}
    one = context(tmp_path, small(f"posttrain.algorithm={algorithm}", "posttrain.start=null"))
    stage = one.recipe.stages["posttrain"]
    assert isinstance(stage, trl_rl.TextReinforcementLearning)
    return trl_rl.arguments(one, place(one, "posttrain"), stage, 40)


def config_class(algorithm: str) -> Any:
    if algorithm == "sft":
        from trl.trainer.sft_config import SFTConfig

        return SFTConfig
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.rloo_config import RLOOConfig

    return RLOOConfig if algorithm == "rloo" else GRPOConfig


@pytest.mark.parametrize("algorithm", ["sft", "grpo", "dr_grpo", "dapo", "rloo"])
def test_no_argument_that_enters_what_is_learned_is_left_to_its_default(algorithm: str, tmp_path: Path) -> None:
    names = {field.name for field in fields(config_class(algorithm)) if field.init}
    passed = set(given(algorithm, tmp_path))
    assert passed <= names  # nothing that the installed release does not know
    assert names - passed - EXCUSED == set()


@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo", "dapo", "rloo"])
def test_no_list_here_excuses_an_argument_that_enters(algorithm: str, tmp_path: Path) -> None:
    passed = given(algorithm, tmp_path)
    entering = {*pinned.ALGORITHMS[algorithm], "beta", "steps_per_generation", "temperature", "learning_rate", "seed"}
    assert entering <= set(passed)
    assert not entering & EXCUSED


def test_vllm_gets_the_room_that_the_responses_need_and_long_ones_are_kept(tmp_path: Path) -> None:
    passed = given("grpo", tmp_path)
    assert passed["vllm_max_model_length"] == 40 + 12  # the longest prompt, and task.max_tokens
    assert passed["vllm_gpu_memory_utilization"] == 0.3
    assert passed["vllm_importance_sampling_mode"] == "token_truncate"
    config = config_class("grpo")(**passed)
    assert (config.loss_type, config.importance_sampling_level, config.use_bias_correction_kl) == (
        "grpo",
        "token",
        True,
    )
    assert config.generation_batch_size == 16
    assert config_class("rloo")(**given("rloo", tmp_path)).beta == 0.0
