"""Writes what a run made in forms that other programs load.

The flow: `run` (what ``run.json`` says) -> `pairs` (preference pairs with their texts, from the
store) -> one module a format (`trl`, `llamafactory`, `parquet`), with `card` for the dataset card
-> `folder` (one folder, complete or not at all). `merged` stands apart: it writes the model.
"""
