"""Models as files that the library transformers reads: weights, configuration, tokenizer."""
