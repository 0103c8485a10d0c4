"""Reading what a run made, prompt by prompt: its stages side by side, chosen and put in order.

Stands beside comparison and export at the end of the flow. Nothing here prints, and no model runs.
"""
