"""Evaluators: measure models on held-out prompts, or on prompts of their own."""
