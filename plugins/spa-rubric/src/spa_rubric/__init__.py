"""A rule-based judge and one more loss for spa, written as a stranger would write them.

`plugin` announces the components, `config` and `judge` are the judge, `loss_config` and `loss` the
loss. Everything that is needed of spa comes from `spa.api`.
"""
