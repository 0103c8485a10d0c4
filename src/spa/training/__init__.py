"""Training on prompt groups: from preference pairs to an adapter or a fine-tuned model.

The flow: `groups` (what comes in) -> `encoding` (token ids) -> `batching` (optimizer batches)
-> `collate` and `forward` (log-probabilities) -> `assembly` (what a loss sees) -> `trainer`
(optimizer steps) -> `saving`. `run` ties them together; `merge` folds an adapter into its model.
"""
