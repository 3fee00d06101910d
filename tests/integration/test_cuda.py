"""The encode kind on a CUDA device, which is the emulated one: its driver and kernels run in the
worker as on a real one, only slower."""

import os
import pathlib

import numpy
import pytest
from safetensors.numpy import load_file

from fleet import ROOT, wait_for
from test_encode import Sample, write_tar

BIN = pathlib.Path(os.environ.get("VLMQ_BIN", ROOT / "build" / "release"))
PLUGIN = {"VLMQ_CUDA_PLUGIN": str(BIN / "tests" / "libvlmq-cuda-emulated.so")}
MODEL = ROOT / "tests" / "golden" / "clip" / "both"
ASKED = ("--embedding", "--cls", "--tokens", 9, "--captions", "--feature-dtype", "f32")


@pytest.fixture
def cuda(fleet):
    """A fleet without workers, a function that starts them, one that encodes, and shards."""
    fleet.start_redis()
    fleet.start_broker()
    models = {"VLMQ_MODELS": str(fleet.folder / "models")}
    fleet.worker_on = lambda device, **more: fleet.start_worker(
        "--device", device, env={**models, **PLUGIN, **more}
    )
    fleet.encode = lambda output, *more: fleet.submit(
        "encode", "in", "--model", MODEL, "--output", output, *ASKED, *more
    )
    for shard in range(2):
        write_tar(fleet.folder / "in" / f"{shard:05}.tar", Sample(), 9, first=9 * shard)
    return fleet


def features(folder):
    """All tensors of an output, by file and name."""
    return {
        (path.name, name): tensor.astype(numpy.float32)
        for path in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(path).items()
        if tensor.dtype.kind == "f"
    }


def test_features_are_those_of_the_cpu(cuda):
    worker = cuda.worker_on("cpu")
    assert cuda.wait_job(cuda.encode("cpu", "--dtype", "f32"))["state"] == "done"
    assert worker.stop() == 0
    cuda.worker_on("cuda:0")
    for dtype, bound in (("f32", 1e-5), ("f16", 2e-3)):
        assert cuda.wait_job(cuda.encode(dtype, "--dtype", dtype))["state"] == "done"
        want, got = features(cuda.folder / "cpu"), features(cuda.folder / dtype)
        assert want.keys() == got.keys() and len(want) >= 6
        for key, tensor in want.items():
            apart = numpy.linalg.norm(got[key] - tensor) / numpy.linalg.norm(tensor)
            assert apart < bound, (key, apart)


def test_a_lost_device_ends_its_worker_and_another_one_does_the_job(cuda):
    worker = cuda.worker_on("cuda:0", CUDA_EMULATED_LOST="60")
    job = cuda.encode("out", "--dtype", "f32")
    assert worker.wait() == 5
    cuda.worker_on("cuda:0")
    ended = cuda.wait_job(job)
    assert ended["state"] == "done" and ended["tasks_dead"] == 0


def test_a_device_that_is_not_there_is_told_at_the_start(cuda):
    worker = cuda.worker_on("cuda:1")
    assert worker.wait() == 1
    assert "--device cuda:1: there is no device cuda:1: the last one is cuda:0" in worker.text()


def test_little_memory_makes_passes_smaller_and_changes_no_byte(cuda):
    memory = 12_000_000
    plenty = cuda.worker_on("cuda:0")
    assert cuda.wait_job(cuda.encode("plenty", "--dtype", "f32"))["state"] == "done"
    assert plenty.stop() == 0 and "encode.batch" not in plenty.text()
    little = cuda.worker_on("cuda:0", CUDA_EMULATED_MEMORY=str(memory))
    assert cuda.wait_job(cuda.encode("little", "--dtype", "f32"))["state"] == "done"
    (line,) = (line for line in little.text().splitlines() if "encode.batch" in line)
    assert "device=cuda:0 pictures=" in line and "too small for larger passes" in line
    want, got = features(cuda.folder / "plenty"), features(cuda.folder / "little")
    assert want.keys() == got.keys()
    for key, tensor in want.items():
        assert numpy.array_equal(got[key], tensor), key


def test_workers_shows_the_devices_memory_and_its_use(cuda):
    memory = 50_000_000
    cuda.worker_on("cuda:0", CUDA_EMULATED_MEMORY=str(memory))
    (worker,) = cuda.vlmq("workers", "--json").lines()
    assert int(worker["device_bytes"]) == int(worker["device_bytes_free"]) == memory
    assert "0 B of 50.0 MB" in cuda.vlmq("workers").out
    assert cuda.wait_job(cuda.encode("out", "--dtype", "f32"))["state"] == "done"

    def told():
        (worker,) = cuda.vlmq("workers", "--json").lines()
        return int(worker.get("device_items_per_s", 0)) > 0 and worker

    worker = wait_for(told, "a hello with the use of the device")
    assert 0 < int(worker["device_busy_percent"]) <= 100
    assert int(worker["device_bytes_free"]) < memory  # the model stays loaded
