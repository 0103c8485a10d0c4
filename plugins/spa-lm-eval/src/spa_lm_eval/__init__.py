"""Runs the tasks of EleutherAI's lm-evaluation-harness on every policy of a run.

`plugin` announces the evaluator, `config` is what a recipe can say to it, `tasks` finds tasks,
`harness` runs them on a model, and `evaluator` makes rows and figures of what came out.
"""
