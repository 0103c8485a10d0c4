"""Many runs of one recipe that differ in a few settings, and share all that they have in common.

The flow: `axes` reads what varies, `grid` makes a cell of each combination, `sharing` counts what
the cells have in common, `carry_out` runs one cell after the other in processes that `server`
starts, and `record` keeps what became of them.
"""
