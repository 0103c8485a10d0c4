"""Judges: score a response on every objective."""
