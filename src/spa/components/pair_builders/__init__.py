"""Pair builders: turn a scored group into preference pairs."""
