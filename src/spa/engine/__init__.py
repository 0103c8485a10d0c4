"""The engine: runs the stages of a recipe, and lets nothing that was computed get lost.

Flow: `pipeline` walks the stages in order; each stage (`stages/`) turns rows of earlier stages
into jobs; `asking` drives the components' generators and batches what they ask; `answers` keeps
every raw answer; `store` keeps the rows; `keys` says which results are the same.
"""
