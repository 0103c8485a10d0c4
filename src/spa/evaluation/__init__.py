"""Whether what judges can be trusted: labelled probes, agreement of two judges, a verdict.

Pure functions and values; `spa.engine.judge_check` has the judge score the probes, and
`spa.comparison.judges` reads what two judges said from runs.
"""
