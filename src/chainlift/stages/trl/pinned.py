"""Arguments of TRL's configurations that affect training and that recipes do not change.

A new release of TRL may change a default, as 1.x did with GRPO's loss and the clipping of vLLM's ratios. So every
argument that the objective, the optimizer or the sampling depends on is passed, and a test goes through the fields of
the installed configurations. Checked with TRL 1.16 and transformers 5.24.
"""

from __future__ import annotations

from typing import Any

OPTIMIZER: dict[str, Any] = {
    "optim": "adamw_torch_fused",
    "optim_args": None,
    "optim_target_modules": None,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "lr_scheduler_kwargs": None,
    "average_tokens_across_devices": True,
    "label_smoothing_factor": 0.0,
    "neftune_noise_alpha": None,
    "fp16": False,
    "use_liger_kernel": False,
    "dataloader_drop_last": False,
    "train_sampling_strategy": "sequential",
    "auto_find_batch_size": False,
    "trust_remote_code": False,
    "router_aux_loss_coef": None,
    "pad_to_multiple_of": None,
    "model_init_kwargs": None,
}
"""Arguments of every trainer."""

SFT: dict[str, Any] = {
    "loss_type": "nll",
    "completion_only_loss": True,
    "assistant_only_loss": False,
    "max_length": None,  # longer rows have been left out: a truncated completion has no end to learn
    "truncation_mode": "keep_start",
    "packing": False,
    "packing_strategy": "bfd",
    "padding_free": False,
    "shuffle_dataset": False,
    "remove_unused_columns": True,
    "chat_template_path": None,
    "dataset_kwargs": None,
    "eos_token": None,
    "pad_token": None,
}
"""Arguments of fine-tuning on rows in their order, with the loss on completions only."""

POLICY: dict[str, Any] = {
    "num_iterations": 1,
    "epsilon": 0.2,
    "epsilon_high": None,
    "mask_truncated_completions": False,
    "reward_weights": None,
    "sync_ref_model": False,
    "disable_dropout": True,
    "shuffle_dataset": False,
    "remove_unused_columns": False,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "generation_kwargs": None,
    "generation_batch_size": None,
    "chat_template_kwargs": None,
    "cache_implementation": None,
    "use_transformers_continuous_batching": False,
    "vllm_mode": "colocate",
    "vllm_model_impl": "vllm",
    "vllm_structured_outputs_regex": None,
}
"""Arguments of RLOO, GRPO and its variants."""

GRPO: dict[str, Any] = {
    "scale_rewards": "group",
    "importance_sampling_level": "token",
    "delta": None,
    "multi_objective_aggregation": "sum_then_normalize",
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "off_policy_mask_threshold": None,
    "use_bias_correction_kl": True,  # the gradient of KL(policy || reference), as in our k3 term
    "cast_lm_head_to_fp32": False,
    # TRL's default, sequence_mask, drops a sequence whose product of ratios leaves the bounds, which happens more often
    # to long ones: that would favor short answers.
    "vllm_importance_sampling_correction": True,
    "vllm_importance_sampling_mode": "token_truncate",
    "vllm_importance_sampling_clip_max": 3.0,
    "vllm_importance_sampling_clip_min": None,
}
"""Arguments of GRPO and its variants alone."""

RLOO: dict[str, Any] = {"normalize_advantages": False, "reward_clip_range": None}
"""Arguments of RLOO alone."""

ALGORITHMS: dict[str, dict[str, Any]] = {
    "grpo": {**POLICY, **GRPO, "loss_type": "grpo"},
    "dr_grpo": {**POLICY, **GRPO, "loss_type": "dr_grpo", "scale_rewards": "none"},
    "dapo": {**POLICY, **GRPO, "loss_type": "dapo", "epsilon_high": 0.28, "mask_truncated_completions": True},
    "rloo": {**POLICY, **RLOO},
}
"""{algorithm: its arguments of TRL's configuration}."""
