"""ESRN in PyTorch, written plainly, and a worker that trains it: what our training steps are compared with.

Needs torch and nothing of esr_ray: it may run in another interpreter.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

import numpy as np
import torch
from common import serve, timed
from torch import Tensor, nn
from torch.nn import functional as F

SCALE = 2


def conv(in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups)


class Block(nn.Module):
    """What S, G and C share: the entry to the growth rate, and the residual. Submodules are made in our order."""

    def __init__(self, name: str, in_channels: int) -> None:
        super().__init__()
        letter, *sizes = name.split("_")
        self.letter = letter
        self.n, g, out = map(int, sizes)
        n = self.n
        self.same = out == in_channels
        self.entry = conv(in_channels, g, 1) if in_channels != g else nn.Identity()
        self.residual = conv(in_channels, out, 1) if out not in (in_channels, g) else nn.Identity()
        self.residual_of_input = out not in (in_channels, g)
        if letter == "G":
            groups = [min(4, 2 ** int(math.log2(c + 1))) for c in range(n)]
            self.convs = nn.ModuleList(conv((c + 1) * g, g, 3, groups[c]) for c in range(n))
            self.last = conv((n + 1) * g, out, 1)
        else:
            self.convs = nn.ModuleList(conv(g, g, 3) for _ in range(n))
            shrinks = n if letter == "S" else n - 1
            self.shrinks = nn.ModuleList(conv((2 + c) * g, g if c < n - 1 else out, 1) for c in range(shrinks))
            if letter == "C":
                self.last = conv((n + 1) * g // 4, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        entry = self.entry(x)
        residual = x if self.same else self.residual(x) if self.residual_of_input else entry
        return getattr(self, self.letter)(entry) + residual

    def G(self, x: Tensor) -> Tensor:
        for c, layer in enumerate(self.convs):
            y = x if c == 0 else shuffle(x, c + 1)
            x = torch.cat([x, F.relu(layer(y))], 1)
        return self.last(x)

    def S(self, x: Tensor) -> Tensor:
        dense = x
        for layer, shrink in zip(self.convs, self.shrinks, strict=True):
            dense = torch.cat([dense, F.relu(layer(x))], 1)
            x = shrink(dense)
        return x

    def C(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)
        dense = x
        for c, layer in enumerate(self.convs):
            for _ in range(3):
                x = F.relu(layer(x))
            dense = torch.cat([dense, x], 1)
            if c < self.n - 1:
                x = self.shrinks[c](dense)
        return self.last(F.pixel_shuffle(dense, 2))


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel j of group i goes to place j·groups + i."""
    return F.channel_shuffle(x, groups)


class ESRN(nn.Module):
    """(B, C, H, W), both even -> (B, C, 2·H, 2·W); without a skip of the input, as published."""

    def __init__(self, arch: list[str], base_channels: int, ends: int = 3) -> None:
        super().__init__()
        g0 = channels = base_channels
        self.sfe1 = conv(ends, g0, 3)
        self.sfe2 = conv(g0, g0, 3)
        blocks, fused = [], 0
        for name in arch:
            blocks.append(Block(name, channels))
            channels = int(name.split("_")[3])
            fused += channels
        self.blocks = nn.ModuleList(blocks)
        self.gff1 = conv(fused, g0, 1)
        self.gff2 = conv(g0, g0, 3)
        self.expand = conv(g0, 3 * g0, 3)
        self.last = conv(3 * g0 // 4, ends, 3)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.sfe1(x)
        x = self.sfe2(shallow)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        fused = self.gff2(self.gff1(torch.cat(outputs, 1))) + shallow
        return self.last(F.pixel_shuffle(self.expand(fused), 2))


LAYOUTS = {"eager": torch.contiguous_format}
"""Memory format by mode; the others are channels_last."""


class Training:
    """One network in one mode: eager, channels_last, compiled, bf16."""

    def __init__(self, arch: list[str], base_channels: int, mode: str) -> None:
        torch.manual_seed(0)
        self.mode = mode
        self.layout = LAYOUTS.get(mode, torch.channels_last)
        self.network = ESRN(arch, base_channels).to(memory_format=self.layout)
        # Fused is the fastest Adam that PyTorch has on CPU.
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)
        self.forward = torch.compile(self.network, dynamic=False) if mode == "compiled" else self.network

    def batch(self, count: int, side: int) -> None:
        rng = np.random.default_rng(0)
        # A batch arrives as a NumPy array does, in the plain layout; putting it in another is part of a step.
        self.lr = torch.from_numpy(rng.random((count, 3, side, side), np.float32))
        self.hr = torch.from_numpy(rng.random((count, 3, SCALE * side, SCALE * side), np.float32))

    def step(self) -> float:
        x, y = (one.contiguous(memory_format=self.layout) for one in (self.lr, self.hr))
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.mode == "bf16"):
            loss = F.l1_loss(self.forward(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()


trainings: dict[tuple[str, str], Training] = {}


def prepare(name: str, arch: list[str], base_channels: int, mode: str, batch: int, side: int) -> dict[str, Any]:
    """Make ready to train; the number of parameters, and the seconds that it took (compiling, for the most part)."""
    began = time.perf_counter()
    if (name, mode) not in trainings:
        trainings[name, mode] = Training(arch, base_channels, mode)
    training = trainings[name, mode]
    training.batch(batch, side)
    training.step()
    params = sum(one.numel() for one in training.network.parameters())
    return {"params": params, "seconds": time.perf_counter() - began}


def steps(name: str, mode: str, batch: int, side: int, seconds: float) -> list[float]:
    """Seconds of each of some steps."""
    training = trainings[name, mode]
    training.batch(batch, side)
    return timed(training.step, seconds)


def take(network: ESRN, weights: np.ndarray) -> None:
    """Give a network our weights, which are in its order."""
    flat, start = torch.from_numpy(weights), 0
    with torch.no_grad():
        for one in network.parameters():
            one.copy_(flat[start : start + one.numel()].view_as(one))
            start += one.numel()


class Upscaling:
    """A picture, uint8 (h, w, 3), made larger by our weights: with one channel Y, and bicubic colours."""

    def __init__(self, arch: list[str], base_channels: int, file: str, threads: int) -> None:
        torch.set_num_threads(threads)
        ours = np.load(file)
        self.ends = int(ours["ends"])
        self.network = ESRN(arch, base_channels, self.ends)
        take(self.network, ours["weights"])
        self.network.to(memory_format=torch.channels_last)
        self.picture = ours["picture"]
        self.to_ycbcr, self.offset = (torch.from_numpy(ours[name]).float() for name in ("matrix", "offset"))
        self.to_rgb = torch.linalg.inv(self.to_ycbcr.double()).float()

    @torch.no_grad()
    def run(self) -> np.ndarray:
        x = torch.from_numpy(self.picture).permute(2, 0, 1)[None].to(torch.float32) / 255
        y = self._of_luminance(x) if self.ends == 1 else self.network(x.contiguous(memory_format=torch.channels_last))
        return (y.clamp(0, 1) * 255 + 0.5).to(torch.uint8)[0].permute(1, 2, 0).contiguous().numpy()

    def _of_luminance(self, x: Tensor) -> Tensor:
        ycbcr = F.conv2d(x, self.to_ycbcr[..., None, None], self.offset)
        colours = F.interpolate(ycbcr[:, 1:], scale_factor=SCALE, mode="bicubic")
        joined = torch.cat([self.network(ycbcr[:, :1]), colours], 1) - self.offset[:, None, None]
        return F.conv2d(joined, self.to_rgb[..., None, None])


upscalings: list[Upscaling] = []


def upscale_ready(arch: list[str], base_channels: int, file: str, result: str, threads: int) -> None:
    """Make ready, and keep the first result."""
    upscalings[:] = [Upscaling(arch, base_channels, file, threads)]
    np.save(result, upscalings[0].run())


def upscale_times(seconds: float) -> list[float]:
    """Seconds of some enlargements."""
    return timed(upscalings[0].run, seconds)


def agree(arch: list[str], base_channels: int, file: str) -> float:
    """Greatest difference of the output from ours, with our weights on our picture."""
    ours = np.load(file)
    network = ESRN(arch, base_channels)
    take(network, ours["weights"])
    with torch.no_grad():
        return float((network(torch.from_numpy(ours["x"])) - torch.from_numpy(ours["y"])).abs().max())


def evaluate(arch: list[str], base_channels: int, mode: str, height: int, width: int, seconds: float) -> list[float]:
    """Seconds of each of some evaluations of one picture."""
    training = Training(arch, base_channels, mode)
    x = torch.from_numpy(np.random.default_rng(0).random((1, 3, height, width), np.float32))

    def run() -> None:
        with torch.no_grad():
            training.network(x.contiguous(memory_format=training.layout))

    return timed(run, seconds)


def about() -> str:
    """Version, and the instructions that it uses."""
    return f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} thread)"


if __name__ == "__main__":
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    torch.set_num_threads(1)
    serve({one.__name__: one for one in (prepare, steps, agree, evaluate, upscale_ready, upscale_times, about)})
