"""Language models of the library transformers: opened or made from scratch, sampled, sized."""
