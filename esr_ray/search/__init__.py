"""The search: an algorithm over a frozen state, its loop, and its record. Knows neither Ray nor MindSpore.

`job` is what crosses between the parts, `state` what is known, `algorithm` what is asked for next, `events` what is
recorded; `loop` runs an algorithm over a backend and a record. `make` puts one together from a configuration.
"""
