"""The store as people keep house with it: what is there, whether it is sound, what can go.

Nothing here changes what a stage made. Folders are removed, set aside or added as wholes.
"""
