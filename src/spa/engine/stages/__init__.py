"""The stages of a run, one module each, in the order of the flow.

prompts -> sample -> judge -> refine -> judge-refined -> denoise -> pairs -> train -> answer ->
judge-answers -> evaluate
"""
