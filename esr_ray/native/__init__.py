"""ESRN by a C++ library: any network of the grammar, forward, backward and a step of training, as data.

The plain network in `esr_ray.networks` is the definition; docs/native.md says how this one works.
"""
