"""Plugins: hook specs, discovery, and the catalogue that turns a name into a class.

`scanning` finds entry points, `discovery` loads each plugin alone and calls its hooks, `catalogue`
answers what a recipe's name means, `registered` imports the implementation, only when it is used.
"""
