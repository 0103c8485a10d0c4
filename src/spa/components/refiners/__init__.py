"""Refiners: write one improved response from all samples and their scores."""
