"""A trained model as a folder for others: merged weights, a model card, GGUF, and the Hub."""
