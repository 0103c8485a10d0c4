"""Generators: sample the responses of a prompt."""
