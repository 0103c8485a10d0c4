"""Compares spa's trainer with TRL's: the parts of ``bench/train_vs_trl.py``.

``cases`` says what is trained on, ``material`` makes it, ``spa_side`` and ``trl_side`` train for
one optimizer step, each in a process of its own (``worker``), which ``launch`` starts and ``clock``
watches. ``gradients`` checks that what is fast is also right, ``growth`` follows cost with size.
"""
