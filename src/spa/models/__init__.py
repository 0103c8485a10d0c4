"""Hugging Face models on disk and in memory: what the `hf` backend and training both need.

`spec` names a model, `location` finds its files, `loading` reads them, `chat` renders
conversations, `identity` tells one model from another.
"""
