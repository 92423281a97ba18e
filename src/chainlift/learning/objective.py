"""One clipped, weighted policy objective; every algorithm is a row of the table (presets.py).

    loss = - sum_i w_i sum_t m_it term_it  +  kl * sum_i v_i sum_t m_it r_it k3_it

i: sequences, t: tokens, m: 1 where a token was sampled, A_i: advantage (advantage.py), l_it = log pi(token), o_it the
same under the policy that sampled it, n_i = number of sampled tokens (EOS included), N = number of sequences counted.

    ratio:  none           -                                     term_it = A_i l_it        (log-likelihood)
            token          r_it = exp(l_it - o_it)
            sequence       r_i  = exp(sum_t (l_it - o_it))
            sequence_mean  r_i  = exp(sum_t (l_it - o_it) / n_i)
    clip:   ppo            term = min(r A, clip(r, 1 - low, 1 + high) A)
            truncate       term = stop_gradient(min(r, high)) A l_it     (high is the bound itself)
    w_i:    sequence_sum   1 / N                a sequence's tokens are summed
            sequence_mean  1 / (N n_i)          every sequence counts alike, whatever its length
            token_mean     1 / sum_j n_j        every token counts alike
            max_length     1 / (N max_length)   a constant: no bias from the length

With decision_weight c the first two tokens of every counted response weigh c / N in place of w_i. In tasks whose short
answer is one token they are the tokens that decide the form: the opening, and EOS or going on. So they count alike in
short and long responses, as the control token does in Thinkless (Fang et al. 2025, 2505.13379).

A sequence-level ratio gives n_i equal terms, so w_i = 1 / (N n_i) makes their sum r_i A_i / N: RLOO's and GSPO's form.
STaR counts only the accepted sequences (N and n run over them): its loss is that of next-token prediction on them. The
bound 5 for CISPO is that of ScaleRL (Khatri et al. 2025, 2510.13786), which TRL recommends too.

k3_it = exp(f_it - l_it) - (f_it - l_it) - 1, with f the log-probability under the start model, is Schulman's estimator
of KL(pi || start), as in GRPO's eq. 4. It is multiplied by the token's ratio r_it, whatever ratio the preset has (on
policy r is 1, but has a gradient): without r its expected gradient is that of KL(start || pi). With r the expected
gradient is that of KL(pi || start) at every prefix, prefixes as frequent as the sampler makes them (DeepSeek-AI 2025,
2512.02556; TRL's use_bias_correction_kl). v_i = w_i, except that STaR's v_i counts all sequences: over accepted ones
alone the mean would be that of another divergence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainlift.learning.presets import Aggregate, Objective, RatioKind

DECISION_TOKENS = 2


def sequence_weights(
    num_actions: Tensor, aggregate: Aggregate, *, max_length: int, counted: Tensor | None = None
) -> Tensor:
    """Weights w (N,) of rows with num_actions (N,) sampled tokens.

    Rows that are False in `counted` (N,) weigh 0 and enter no mean.
    """
    counts = torch.ones_like(num_actions, dtype=torch.float32) if counted is None else counted.float()
    num_sequences = counts.sum().clamp(min=1)
    if aggregate == "sequence_sum":
        return counts / num_sequences
    if aggregate == "sequence_mean":
        return counts / (num_sequences * num_actions)
    if aggregate == "token_mean":
        return counts / (counts * num_actions).sum().clamp(min=1)
    return counts / (num_sequences * max_length)


def token_weights(weights: Tensor, decision_weights: Tensor | None, width: int) -> Tensor:
    """Weights (B, R) of the first R = `width` tokens of rows with weights (B,).

    decision_weights: (B,) weights of the rows' first two tokens; None: as the rows'.
    """
    tokens = weights[:, None].repeat(1, width)
    if decision_weights is not None:
        tokens[:, :DECISION_TOKENS] = decision_weights[:, None]
    return tokens


def loss(
    logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, weights: Tensor, objective: Objective
) -> tuple[Tensor, Tensor]:
    """(loss, number of clipped tokens), scalars, without the KL term.

    logp, old_logp and mask are (B, R), and logp is finite on padding; advantage is (B,), weights are (B,), or (B, R) of
    single tokens. Splitting the rows of a batch and summing gives the same loss and gradient, as every mean is in the
    weights.
    """
    advantage = advantage[:, None]
    if objective.ratio == "none":
        term, clipped = advantage * logp, torch.zeros_like(mask)
    else:
        ratio = _log_ratio(logp, old_logp, mask, objective.ratio).exp()
        if objective.clip == "truncate":
            term = ratio.clamp(max=objective.clip_high).detach() * advantage * logp
            clipped = ratio > objective.clip_high
        elif objective.clip == "ppo":
            low, high = 1 - objective.clip_low, 1 + objective.clip_high
            term = torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)
            clipped = ((ratio < low) & (advantage < 0)) | ((ratio > high) & (advantage > 0))
        else:
            term, clipped = ratio * advantage, torch.zeros_like(mask)
    each = weights if weights.dim() == 2 else weights[:, None]
    return -(each * mask * term).sum(), (clipped & mask).sum()


def kl_to_start(logp: Tensor, old_logp: Tensor, start_logp: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """The KL term of the loss before its coefficient, sum_i v_i sum_t m_it r_it k3_it, with weights v (B,); a scalar.

    For the right gradient on policy, old_logp must be logp, detached.
    """
    difference = (start_logp - logp) * mask
    k3 = difference.exp() - difference - 1
    ratio = _log_ratio(logp, old_logp, mask, "token").exp()
    return (weights[:, None] * mask * ratio * k3).sum()


def _log_ratio(logp: Tensor, old_logp: Tensor, mask: Tensor, kind: RatioKind) -> Tensor:
    """Log-ratios (B, R); equal along a row for the sequence-level kinds."""
    difference = (logp - old_logp) * mask
    if kind == "token":
        return difference
    total = difference.sum(dim=1, keepdim=True)
    if kind == "sequence_mean":
        total = total / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return total.expand_as(logp)
