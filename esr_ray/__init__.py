"""Evolutionary search for efficient super-resolution networks (ESR-EA, arXiv 1909.11409), on MindSpore and Ray."""

import os

__version__ = "0.1.0"

# oneDNN reads this when MindSpore loads it. Without it MindSpore's 3x3 convolution falls to reference code, 50 times
# slower, on CPUs with AVX-512. It is set here because every process of ours imports this package before MindSpore.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
