"""Measurements against peers, side by side in one run: one command each, results as JSON and a table."""
