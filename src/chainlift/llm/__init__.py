"""The same recipe on language models: problems in words, supervised fine-tuning, RL through TRL, grading."""
