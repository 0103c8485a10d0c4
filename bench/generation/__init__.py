"""Compares spa's sampling with the engines beneath it: the parts of ``bench/generate.py``.

``cases`` says what is asked, ``stage`` runs spa's stage ``sample`` on it, and one module for each
backend (``hf_side``, ``vllm_side``, ``openai_side``) asks the same rows of the bare engine.
``worker`` measures one backend in a process of its own, which ``launch`` starts; ``compare`` takes
the sides in turn.
"""
