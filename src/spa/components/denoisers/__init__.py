"""Denoisers: leave out groups whose judgement cannot be trusted."""
