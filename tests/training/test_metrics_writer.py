import struct
import subprocess
import sys
import threading

import pytest
from tensorboardX import writer as events_writer

from flax_transformer.training.metrics import MetricsWriter, whole_lines

# Where PyTorch is installed; importing it takes seconds.
PYTORCH = "raise RuntimeError('PyTorch was imported')"
PROGRAM = """
from pathlib import Path
from flax_transformer.training.metrics import MetricsWriter

writer = MetricsWriter(Path("metrics.jsonl"), Path("tensorboard"), 0)
writer.write(3, "train", {"loss": 1.5})
writer.close()
import torch
"""


def test_the_writer_of_curves_does_not_import_pytorch_nor_hide_it_from_others(tmp_path):
    (tmp_path / "torch.py").write_text(PYTORCH)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (tmp_path / "metrics.jsonl").read_text() == (
        '{"step": 3, "kind": "train", "loss": 1.5}\n'
    )
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    # The program's own import, in its last line, is the only one.
    assert done.stderr.splitlines()[1].endswith("line 8, in <module>")
    assert done.stderr.endswith("RuntimeError: PyTorch was imported\n")


def test_curves_are_what_tensorboard_reads(tmp_path):
    writer = MetricsWriter(tmp_path / "metrics.jsonl", tmp_path / "curves", step=4)
    before = threading.active_count()
    writer.write(5, "train", {"loss": 1.5, "nothing": None})
    writer.close()
    assert threading.active_count() == before
    (file,) = (tmp_path / "curves").iterdir()
    content, events = file.read_bytes(), []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        events.append(events_writer.Event.FromString(content[12 : 12 + size]))
        content = content[12 + size + 4 :]
    assert events[0].file_version == "brain.Event:2"
    assert (events[1].step, events[1].session_log.status) == (5, events_writer.SessionLog.START)
    (value,) = events[2].summary.value
    assert (events[2].step, value.tag, value.simple_value) == (5, "train/loss", 1.5)
    assert len(events) == 3


@pytest.mark.parametrize(
    "cut", ['{"step": 5, "ki', '{"step": 5, "kind": "train"}', "[3]\n", "null\n", "\n"]
)
def test_a_line_that_was_cut_off_is_none(tmp_path, cut):
    whole = '{"step": 3, "kind": "train"}\n'
    (tmp_path / "metrics.jsonl").write_text(whole + cut)
    assert whole_lines(tmp_path / "metrics.jsonl") == [whole]
