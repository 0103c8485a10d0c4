"""A backend for spa that asks a server with the OpenAI protocol.

`plugin` announces it and `config` says what a recipe may write. A request's way: `backend` takes it
and hands it to `asking`, which runs in the thread of `worker`; `bodies` writes the JSON, `sending`
sends it through the official client under `flow` and `pace`, `wire` reads the answer, `labels` and
`replies` make a result of it, `failures` says what went wrong, `spending` counts.
"""
