"""Model families: the transformer, the linear model, pretrained language models, and their files."""
