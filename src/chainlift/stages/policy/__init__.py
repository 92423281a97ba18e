"""What the kind `rl` is made of: samples, minibatches, PPO, DPO, the check before it begins."""
