"""Training on prompt groups: from preference pairs to an adapter or a fine-tuned model.

The flow: `groups` (what comes in) -> `encoding` (token ids) -> `batching` (optimizer batches)
-> `micro_batches` (what goes through the model together) -> `layout` and `forward`
(log-probabilities) -> `assembly` (what a loss sees) -> `step` (gradients) -> `trainer` (optimizer
steps) -> `saving`. `fit` ties them together in one process. `run` is what the engine calls; several
processes are started by `launch` or found by `launched`. `merge` folds an adapter into its model.
"""
