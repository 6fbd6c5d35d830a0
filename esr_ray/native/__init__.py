"""ESRN as one native operator: any network of the grammar, forward and backward, with the architecture as data.

The plain network in `esr_ray.networks` is the definition; docs/native.md says how this one works.
"""
