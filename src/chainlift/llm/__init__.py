"""The same recipe on Hugging Face language models: problems in words, their mixtures, training and grading."""
