"""How many rows a second the engine moves, and in how much memory: ``bench/engine.py``.

``plugin`` has a model that answers at once and prompts without end, ``worker`` runs the stages in a
process of its own, whose peak memory it reports.
"""
