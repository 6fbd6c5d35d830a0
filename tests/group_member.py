"""One process of a group that trains together; run by test_training_group.py, as many times as there are members.

    python group_member.py RANK COUNT HOST:PORT KERNELS STEPS OUTPUT [PAUSE]

Writes the loss and a digest of the weights after every step, and the last weights, to OUTPUT.npz. RANK `scheduler`
brings the others together. The first pauses for PAUSE seconds before the third step, as where it validates.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

from esr_ray.networks.target import Member, join_group, use_target
from esr_ray.training.ring import Ring

ARCH = ("S_2_4_8", "G_2_8_8", "C_1_4_8")
BATCH, CROP, SCALE = 4, 12, 2


def joined_ring(folder: Path, rank: int, count: int) -> Ring:
    """Members tell each other by files where they listen."""
    ring = Ring("127.0.0.1", b"the test's")
    (folder / f"{rank}.writing").write_text(str(ring.address[1]))
    (folder / f"{rank}.writing").rename(folder / f"{rank}.port")
    files = [folder / f"{one}.port" for one in range(count)]
    while not all(file.exists() for file in files):
        time.sleep(0.01)
    ring.join(rank, [("127.0.0.1", int(file.read_text())) for file in files])
    return ring


def main() -> None:
    rank, count, address, kernels, steps, output, *pause = sys.argv[1:]
    if rank == "scheduler":
        join_group("CPU", "scheduler", Member(0, int(count), address))
        return
    mean = None
    if int(count) > 1 and kernels == "native":
        mean = joined_ring(Path(output).parent, int(rank), int(count)).mean
    elif int(count) > 1:
        use_target("CPU", "graph")
        join_group("CPU", "worker", Member(int(rank), int(count), address))
    import numpy as np

    from esr_ray.config.load import check_config
    from esr_ray.data.crops import PicturePair, Share, sample_batch
    from esr_ray.space.spec import NetworkSpec
    from esr_ray.training.kernels import choose_kernels

    training = {"steps": int(steps), "batch_size": BATCH, "crop_size": CROP, "learning_rate": 2e-3, "clip_norm": 0.5}
    content = {
        "data": {"hr": "unused"},
        "fast_training": {**training, "average_weights": 0.9},
        "runtime": {"kernels": kernels},
    }
    config = check_config(content, "test")
    rng = np.random.default_rng(0)
    smooth = rng.random((6, 40, 40, 3)).cumsum(1).cumsum(2)
    hr = (255 * smooth / smooth.max()).astype(np.uint8)
    pairs = [PicturePair(str(index), one, one[::SCALE, ::SCALE].copy()) for index, one in enumerate(hr)]
    network = choose_kernels(config, "CPU", int(count), mean).make(
        NetworkSpec(ARCH, 8, SCALE, "nearest"), config.fast_training, 5
    )
    losses, digests = [], []
    share = Share(int(rank), int(count))
    for step in range(1, int(steps) + 1):
        if step == 3 and rank == "0" and pause:
            time.sleep(float(pause[0]))
        batch = sample_batch(pairs, 3, step, BATCH, CROP, SCALE, share)
        losses.append(float(network.step(*batch)))
        state = network.state()
        digests.append(hashlib.sha256(b"".join(state[key].tobytes() for key in sorted(state))).hexdigest())
    np.savez(Path(output), losses=losses, digests=digests, **network.parameters())
    # As trainers end, which are killed: MindSpore has crashed while it took a group down.
    os._exit(0)


if __name__ == "__main__":
    main()
