"""Whether what judges can be trusted: labelled probes, the figures over them, a verdict.

Pure functions and values; `spa.engine.judge_check` has the judge score the probes.
"""
