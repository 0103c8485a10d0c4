"""Runs that are disturbed: a model that answers at once, and processes that fail on purpose.

``plugin`` has the model, ``recipe`` a run of two rounds on it, ``injection`` the faults of one
process, ``server`` a process that has imported everything and forks one that runs, and ``driving``
is the tests' side of it.
"""
