"""Parts of the kind `rl`: samples, minibatches, and the check before training."""
