"""Model families: transformer, linear model, pretrained language models; and their file formats."""
