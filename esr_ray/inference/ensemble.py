"""Self-ensemble: the mean of a network's outputs for the eight flips and turns of a picture."""

from __future__ import annotations

import numpy as np

from esr_ray.inference.predictor import Predictor


class SelfEnsemble:
    """A `Predictor`: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution" (2017), 3.3.

    Eight times the mult-adds; the outputs are averaged before they are rounded.
    """

    repeats = 8

    def __init__(self, network: Predictor) -> None:
        self.network = network
        self.kernels = network.kernels

    def compile_predict(self, lr: np.ndarray) -> None:
        self.network.compile_predict(lr)
        self.network.compile_predict(np.ascontiguousarray(lr.swapaxes(2, 3)))

    def predict(self, lr: np.ndarray) -> np.ndarray:
        outputs = []
        for turned in (False, True):
            for axes in ((), (2,), (3,), (2, 3)):
                view = np.flip(lr, axes) if axes else lr
                view = view.swapaxes(2, 3) if turned else view
                output = self.network.predict(np.ascontiguousarray(view))
                output = output.swapaxes(2, 3) if turned else output
                outputs.append(np.flip(output, axes) if axes else output)
        return np.asarray(np.mean(outputs, axis=0), np.float32)
