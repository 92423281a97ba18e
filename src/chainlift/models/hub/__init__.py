"""A model as transformers' files: weights, configuration, tokenizer."""
