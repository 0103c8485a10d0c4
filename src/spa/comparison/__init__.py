"""Sets finished runs side by side: what differs in their recipes, and what that changed.

The flow of a comparison: `recipes` finds the settings that differ, `series` reads each figure
prompt by prompt, `figures` pairs them by prompt against the first run (`paired` in one seed,
`pooled` over several), `formats` and `latex` write the result.
Of judges: `judges` reads what two said of the same samples, `judges_formats` writes how far they
agree.
"""
