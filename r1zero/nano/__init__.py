"""The embedded base model: its text, its tokenizer, its weights, and the script that makes them."""
