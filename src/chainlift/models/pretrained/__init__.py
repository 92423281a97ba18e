"""Language models of the library transformers: loading, building from scratch, sampling, sizes."""
