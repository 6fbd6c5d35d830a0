"""A Gaussian process of networks at several lengths of training: fit, cross-validation, and a function drawn from it.

What a training of a network at length l with a seed gives is, on a scale that is stretched towards a floor and a
ceiling of that length, z = log((PSNR - floor) / (ceiling - PSNR)),
    z = mean[l, seed] + smooth(features, l) + own(network, l) + noise
`smooth` has a Matérn 5/2 kernel with a reach for each group of features, `own` is independent from network to network,
`noise` from network to network and seed to seed. Each has a covariance between the lengths, so that a length tells of
another as much as it truly does, and the noise of a seed may be alike in short and long trainings. All are fitted
together by maximum likelihood, with weak priors: that the networks trained for long were chosen by short trainings
does not bend the estimate then, because the short values are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.optimize import minimize
from scipy.special import expit

Array = NDArray[np.float64]
ROOT5 = 5**0.5
WAVES = 1500
"""Cosines of which a drawn function is made before it is bent to the data."""
LEAST = 1e-4
"""Of the noise's variance: keeps the matrices invertible."""


@dataclass(frozen=True)
class Data:
    """Trainings: `network` and `length` are indices, `effect` is that of (length, seed); `values` are PSNR in dB.

    No training is there twice.

    `features` (a row for each network) are standardised, `groups` says which group each column belongs to.
    """

    features: Array
    groups: NDArray[np.int64]
    network: NDArray[np.int64]
    length: NDArray[np.int64]
    seed: NDArray[np.int64]
    effect: NDArray[np.int64]
    values: Array

    @property
    def same_network(self) -> NDArray[np.bool_]:
        """Which pairs of trainings are of one network."""
        return np.asarray(self.network[:, None] == self.network[None, :])

    @property
    def same_seed(self) -> NDArray[np.bool_]:
        """Which pairs of trainings are of one network and one seed."""
        return np.asarray(self.same_network & (self.seed[:, None] == self.seed[None, :]))


@dataclass(frozen=True)
class Shape:
    """What is fitted. Lower triangles are Cholesky factors of covariances between lengths, on the z scale.

    `floors` and `ceilings` are in dB, `reaches` the distance in each group's features over which values are alike.
    """

    floors: Array
    ceilings: Array
    reaches: Array
    smooth: Array
    own: Array
    noise: Array

    def stretched(self, values: Array, length: NDArray[np.int64]) -> Array:
        """PSNR in dB on the z scale."""
        return np.asarray(np.log((values - self.floors[length]) / (self.ceilings[length] - values)))

    def psnr(self, z: Array, length: NDArray[np.int64]) -> Array:
        """PSNR in dB of the z scale."""
        floors, ceilings = self.floors[length], self.ceilings[length]
        return np.asarray(floors + (ceilings - floors) * expit(z))

    def slope(self, values: Array, length: NDArray[np.int64]) -> Array:
        """Decibels for each unit of z, at these values."""
        floors, ceilings = self.floors[length], self.ceilings[length]
        return np.asarray((values - floors) * (ceilings - values) / (ceilings - floors))


def squares(one: Array, other: Array, groups: NDArray[np.int64]) -> list[Array]:
    """Squared distances of all pairs of rows, for each group of features."""
    found = []
    for group in range(int(groups.max()) + 1):
        a, b = one[:, groups == group], other[:, groups == group]
        square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
        found.append(np.maximum(square, 0.0))
    return found


def matern(distance2: Array) -> tuple[Array, Array]:
    """The kernel of squared distances, and its derivative by them."""
    distance = np.sqrt(distance2)
    faded = np.exp(-ROOT5 * distance)
    return (1 + ROOT5 * distance + 5 / 3 * distance2) * faded, -5 / 6 * (1 + ROOT5 * distance) * faded


@dataclass(frozen=True)
class _Packing:
    """Between a Shape and the vector that the optimiser changes."""

    lengths: int
    groups: int
    least: Array
    greatest: Array

    def unpack(self, vector: Array) -> Shape:
        count, triangle = self.lengths, self.lengths * (self.lengths + 1) // 2
        cuts = np.cumsum([count, count, self.groups, triangle, triangle])
        floors, ceilings, reaches, smooth, own, noise = np.split(vector, cuts)
        return Shape(
            floors=self.least - np.exp(floors),
            ceilings=self.greatest + np.exp(ceilings),
            reaches=np.exp(reaches),
            smooth=self._lower(smooth),
            own=self._lower(own),
            noise=self._lower(noise),
        )

    def _lower(self, entries: Array) -> Array:
        lower = np.zeros((self.lengths, self.lengths))
        lower[np.tril_indices(self.lengths)] = entries
        return lower

    def start(self, dimensions: Array) -> tuple[Array, Array]:
        """Where the search begins, and the standard deviations of the prior around it."""
        lower = np.tril_indices(self.lengths)
        smooth = np.tril(np.full((self.lengths, self.lengths), 0.4))
        own = np.diag(np.full(self.lengths, 0.1))
        ends = np.full(2 * self.lengths, np.log(0.2))
        begin = [ends, np.log(3 * np.sqrt(dimensions)), smooth[lower], own[lower]]
        widths = [np.ones_like(ends), np.full(self.groups, 1.0), np.full(len(lower[0]), 0.7)]
        widths += [np.full(2 * len(lower[0]), 0.2)]
        return np.concatenate([*begin, 2 * own[lower]]), np.concatenate(widths)


def _likelihood(vector: Array, data: Data, packing: _Packing, distances: Sequence[Array]) -> tuple[float, Array]:
    """Log-likelihood of the values, and its gradient."""
    shape = packing.unpack(vector)
    lengths = range(packing.lengths)
    z = shape.stretched(data.values, data.length)
    kernel, slope = matern(sum(d / r**2 for d, r in zip(distances, shape.reaches, strict=True)))
    at = np.ix_(data.network, data.network)
    between = (data.length[:, None], data.length[None, :])
    smooth, own, noise = (lower @ lower.T for lower in (shape.smooth, shape.own, shape.noise))
    kernel_at, smooth_at = kernel[at], smooth[between]
    matrix = smooth_at * kernel_at + own[between] * data.same_network + noise[between] * data.same_seed
    matrix[np.diag_indices_from(matrix)] += LEAST
    factor, _ = lapack.dpotrf(matrix, lower=1)
    log_determinant = 2 * np.log(np.diag(factor)).sum()
    inverse, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    effects = np.eye(int(data.effect.max()) + 1)[data.effect]
    means = np.linalg.solve(effects.T @ inverse @ effects, effects.T @ inverse @ z)
    weights = inverse @ (z - effects @ means)
    value = -0.5 * (z - effects @ means) @ weights - 0.5 * log_determinant
    value -= np.log(shape.slope(data.values, data.length)).sum()

    pull = 0.5 * (np.outer(weights, weights) - inverse)
    by_length = np.eye(packing.lengths)[data.length]
    by_smooth = by_length.T @ (pull * kernel_at) @ by_length
    by_own = by_length.T @ (pull * data.same_network) @ by_length
    by_noise = by_length.T @ (pull * data.same_seed) @ by_length
    steep = pull * smooth_at * slope[at]
    above, below = shape.ceilings[data.length] - data.values, data.values - shape.floors[data.length]
    by_ceiling = (weights - 1) / above + 1 / (above + below)
    by_floor = (weights + 1) / below - 1 / (above + below)
    lower = np.tril_indices(packing.lengths)
    gradient = [
        [by_floor[data.length == one].sum() * (shape.floors[one] - packing.least[one]) for one in lengths],
        [by_ceiling[data.length == one].sum() * (shape.ceilings[one] - packing.greatest[one]) for one in lengths],
        [(steep * d[at]).sum() * -2 / r**2 for d, r in zip(distances, shape.reaches, strict=True)],
        (2 * by_smooth @ shape.smooth)[lower],
        (2 * by_own @ shape.own)[lower],
        (2 * by_noise @ shape.noise)[lower],
    ]
    return float(value), np.concatenate([np.asarray(part) for part in gradient])


def fit(data: Data, iterations: int = 80) -> Shape:
    """The shape under which the values are likeliest."""
    lengths = int(data.length.max()) + 1
    of_length = [data.values[data.length == length] for length in range(lengths)]
    least, greatest = np.array([one.min() for one in of_length]), np.array([one.max() for one in of_length])
    dimensions = np.bincount(data.groups).astype(float)
    packing = _Packing(lengths, len(dimensions), least, greatest)
    distances = squares(data.features, data.features, data.groups)
    start, widths = packing.start(dimensions)

    def loss(vector: Array) -> tuple[float, Array]:
        value, gradient = _likelihood(vector, data, packing, distances)
        pulled = (vector - start) / widths
        return -value + 0.5 * float(pulled @ pulled), -gradient + pulled / widths

    bounds = [(place - 4 * width, place + 4 * width) for place, width in zip(start, widths, strict=True)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})
    return packing.unpack(found.x)


@dataclass(frozen=True)
class Left:
    """What a training's value would be taken for if its network had never been trained: on the z scale."""

    mean: Array
    variance: Array
    """Of the noiseless value of that network: what is not known of it."""


@dataclass(frozen=True)
class Process:
    """A fitted process with its data."""

    data: Data
    shape: Shape

    @cached_property
    def smooth(self) -> Array:
        return np.asarray(self.shape.smooth @ self.shape.smooth.T)

    @cached_property
    def own(self) -> Array:
        return np.asarray(self.shape.own @ self.shape.own.T)

    @cached_property
    def noise(self) -> Array:
        return np.asarray(self.shape.noise @ self.shape.noise.T)

    @cached_property
    def z(self) -> Array:
        return self.shape.stretched(self.data.values, self.data.length)

    def kernel(self, features: Array) -> Array:
        """Kernel between other networks and those of the data."""
        scaled = features / self.shape.reaches[self.data.groups]
        distance = (scaled**2).sum(1)[:, None] + self._scaled2 - 2 * scaled @ self._scaled.T
        return matern(np.maximum(distance, 0.0))[0]

    @cached_property
    def _scaled(self) -> Array:
        return np.asarray(self.data.features / self.shape.reaches[self.data.groups])

    @cached_property
    def _scaled2(self) -> Array:
        return np.asarray((self._scaled**2).sum(1))

    @cached_property
    def _matrix(self) -> Array:
        data, between = self.data, (self.data.length[:, None], self.data.length[None, :])
        kernel = self.kernel(data.features)[np.ix_(data.network, data.network)]
        matrix = self.smooth[between] * kernel + self.own[between] * data.same_network
        matrix += self.noise[between] * data.same_seed
        matrix[np.diag_indices_from(matrix)] += LEAST
        return matrix

    @cached_property
    def _factor(self) -> tuple[Array, bool]:
        return cho_factor(self._matrix, lower=True)

    @cached_property
    def effects(self) -> Array:
        """Mean of each (length, seed) on the z scale."""
        columns = np.eye(int(self.data.effect.max()) + 1)[self.data.effect]
        solved = cho_solve(self._factor, columns)
        return np.linalg.solve(columns.T @ solved, solved.T @ self.z)

    def left_out(self, folds: NDArray[np.int64]) -> Left:
        """Each network predicted without those of its fold, in closed form (the shape is that of all).

        `folds` has a number for each network; all trainings of a network are left out together.
        """
        inverse = cho_solve(self._factor, np.eye(len(self.z)))
        weights = inverse @ (self.z - self.effects[self.data.effect])
        mean, variance = np.empty_like(self.z), np.empty_like(self.z)
        fold = folds[self.data.network]
        for one in np.unique(fold):
            rows = np.flatnonzero(fold == one)
            block = np.linalg.inv(inverse[np.ix_(rows, rows)])
            mean[rows] = self.z[rows] - block @ weights[rows]
            variance[rows] = np.diag(block) - np.diag(self.noise)[self.data.length[rows]] - LEAST
        return Left(mean, variance)

    def draw(self, rng: np.random.Generator) -> Drawn:
        """A function from the posterior: a draw from the prior, bent to the data (pathwise conditioning)."""
        data, lengths = self.data, len(self.shape.ceilings)
        # A Matérn 5/2 kernel is a mixture of waves whose frequencies have a t distribution of 5 degrees of freedom.
        spread = np.sqrt(5 / rng.chisquare(5, WAVES))[:, None]
        frequencies = rng.standard_normal((WAVES, data.features.shape[1])) * spread
        frequencies /= self.shape.reaches[data.groups]
        phases = rng.random(WAVES) * 2 * np.pi
        amplitudes = rng.standard_normal((WAVES, lengths)) @ self.shape.smooth.T * np.sqrt(2 / WAVES)
        prior = (np.cos(data.features @ frequencies.T + phases) @ amplitudes)[data.network, data.length]
        own = (rng.standard_normal((len(data.features), lengths)) @ self.shape.own.T)[data.network, data.length]
        run = data.network * (data.seed.max() + 1) + data.seed
        noise = (rng.standard_normal((run.max() + 1, lengths)) @ self.shape.noise.T)[run, data.length]
        noise += rng.standard_normal(len(self.z)) * LEAST**0.5
        weights = cho_solve(self._factor, self.z - self.effects[data.effect] - prior - own - noise)
        spread_out = np.zeros((len(data.features), lengths))
        np.add.at(spread_out, (data.network, data.length), weights)
        return Drawn(self, frequencies, phases, amplitudes, spread_out @ self.smooth)


@dataclass(frozen=True)
class Drawn:
    """One drawn function of features: the smooth part on the z scale, without means."""

    process: Process
    frequencies: Array
    phases: Array
    amplitudes: Array
    bend: Array

    def __call__(self, features: Array) -> Array:
        """Values of networks (rows of standardised features) at each length (columns)."""
        waves = np.cos(features @ self.frequencies.T + self.phases)
        return np.asarray(waves @ self.amplitudes + self.process.kernel(features) @ self.bend)
