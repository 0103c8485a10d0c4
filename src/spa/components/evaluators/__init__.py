"""Evaluators: measure models on held-out prompts."""
