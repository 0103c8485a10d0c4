"""One page that shows what runs did: figures, charts and every example, in a file of its own.

Stands at the end of the flow, above comparison, viewing and export, and computes nothing that they
compute. It is made from the manifest and the store; no model runs, and no network is asked.
"""
