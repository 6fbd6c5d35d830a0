"""What is different on Ascend: the target and mode of MindSpore in a process. (Written; not run: no hardware here.)"""

from __future__ import annotations


def use_target(target: str, mode: str) -> None:
    """Set MindSpore up in this process, before a network is built. `target` is CPU or Ascend, `mode` graph or pynative.

    On Ascend Ray sets ASCEND_RT_VISIBLE_DEVICES to the actor's one device, whose logical id is therefore 0.
    """
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    if target == "Ascend":
        ms.set_device("Ascend", 0)
    elif ms.get_context("device_target") != "CPU":
        # Only where it is another: MindSpore takes no device once one is in use.
        ms.set_device("CPU")
