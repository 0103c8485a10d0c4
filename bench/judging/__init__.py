"""How fast and how right judging is: ``bench/judge.py`` and ``bench/judge_quality.py``.

``scoring`` runs the judge as a run does. Speed: ``material`` makes what is judged,
``expected_side``, ``generate_side`` and ``unshared_side`` judge it, one way each, and ``compare``
has them take turns. Quality: ``labelled`` reads data with known labels, ``quality`` says how often
scores agree with them.
"""
