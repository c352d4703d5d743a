"""Reads the event files of a run with TensorBoard's own reader, and lists their scalars.

    python tests/peers/read_tensorboard.py RUN

Needs tensorboard. Checks that each scalar has one value a step, also after a run was resumed, and as many steps as
metrics.jsonl has.
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main(run):
    run = pathlib.Path(run)
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    for tag in sorted(events.Tags()["scalars"]):
        scalars = events.Scalars(tag)
        steps = [scalar.step for scalar in scalars]
        assert steps == sorted(set(steps)), f"{tag}: {steps}"
        print(f"{tag}: {len(scalars)} values, steps {steps[0]} to {steps[-1]}, last {scalars[-1].value:.6g}")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    if losses:
        shown = [(scalar.step, scalar.value) for scalar in events.Scalars("train/loss")]
        assert [step for step, _ in shown] == [step for step, _ in losses], "train/loss"
        assert all(abs(a - b) <= 1e-6 * abs(b) for (_, a), (_, b) in zip(shown, losses)), "train/loss"
        print(f"train/loss is that of metrics.jsonl in all {len(losses)} lines")


if __name__ == "__main__":
    main(sys.argv[1])
