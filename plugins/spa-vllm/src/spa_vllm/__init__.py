"""The backend `vllm`: samples and judges with an engine in a process of its own.

`plugin` announces it and `config` is what a recipe may write; both import neither torch nor vllm.
`backend` is what spa calls. On its side, `asking` turns requests into token ids and answers into
results, `engines` keeps the engines full and `process` holds the process of one. `worker` is what
runs there, the only module that imports vllm; the two sides talk through a `channel`.
"""
