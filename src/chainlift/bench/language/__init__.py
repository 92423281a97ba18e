"""The benchmark of language models beside transformers and TRL."""
