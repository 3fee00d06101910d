"""The encode kind from pictures to features with a tiny random CLIP: every row accounted for, the
same bytes whoever made them and whatever died on the way, and jobs chained to downloads."""

import io
import json
import os
import pathlib
import re
import shutil
import signal
import tarfile
import threading
import time

import pytest
from PIL import Image

from fleet import PATIENCE_S, ROOT, attempt_leftovers, digest_tree, wait_for
from test_download import make_list, options, web, write_csv  # noqa: F401
from test_faults import fill, small_disk  # noqa: F401

PICTURES = ROOT / "deploy" / "sample" / "pictures"
MODEL = ROOT / "tests" / "golden" / "clip" / "both"
DEVICE = os.environ.get("VLMQ_TEST_DEVICE", "cpu")
DTYPES = {"F32": 4, "F16": 2, "BF16": 2}


@pytest.fixture
def quick(fleet):
    """A fleet with one worker, whose models folder is the test's own."""
    fleet.start_redis()
    fleet.start_broker()
    fleet.models = {"VLMQ_MODELS": str(fleet.folder / "models")}
    start = fleet.start_worker
    fleet.start_worker = lambda *more: start("--device", DEVICE, *more, env=fleet.models)
    fleet.start_worker()
    return fleet


def pictures():
    return sorted(p for p in PICTURES.iterdir() if p.suffix in (".jpg", ".png", ".webp"))


def small(path, side=64):
    """A sample picture made small: decoding is not what is tested here."""
    out = io.BytesIO()
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((side, side))
    picture.save(out, "PNG")
    return out.getvalue()


class Sample:
    def __init__(self):
        self.bytes = [small(p) for p in pictures()]

    def __getitem__(self, i):
        return self.bytes[i % len(self.bytes)]


@pytest.fixture(scope="module")
def sample():
    return Sample()


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_tar(path, sample, rows, first=0, pax=False, bad=True):
    """rows samples; every 7th is bad in one of several ways. Returns the statuses in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    statuses = []
    kind = {"format": tarfile.PAX_FORMAT} if pax else {"format": tarfile.USTAR_FORMAT}
    with tarfile.open(path, "w", **kind) as tar:
        for i in range(first, first + rows):
            key, data, status = f"{i:09}", sample[i], "success"
            if bad and i % 7 == 3:
                data, status = [
                    (b"<html>404</html>", "unknown_format"),
                    (data[: len(data) // 2], "truncated"),
                    (None, "no_image"),
                ][i // 7 % 3]
            if pax:  # a float time makes a PAX header, as webdataset's writer does
                info = tarfile.TarInfo(f"a long folder name/{'x' * 90}/{key}.txt")
                info.mtime = 1700000000.25
            else:
                info = tarfile.TarInfo(f"{key}.txt")
            caption = f"caption {i}".encode()
            info.size = len(caption)
            tar.addfile(info, io.BytesIO(caption))
            base = info.name[: -len(".txt")]
            if data is not None:
                add(tar, f"{base}.png", data)
            add(tar, f"{base}.json", json.dumps({"url": f"http://x/{i}", "n": i}).encode())
            statuses.append(status)
    return statuses


def lines(output, name="*.jsonl"):
    return [
        json.loads(line)
        for path in sorted(pathlib.Path(output).glob(name))
        for line in path.read_text().splitlines()
    ]


def tensors(path):
    """{name: (dtype, shape)} of a safetensors file, whose layout is checked."""
    data = pathlib.Path(path).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header.pop("__metadata__", None)
    end = 8 + int.from_bytes(data[:8], "little")
    assert end + max(t["data_offsets"][1] for t in header.values()) == len(data)
    for tensor in header.values():
        count = 1
        for size in tensor["shape"]:
            count *= size
        begin, stop = tensor["data_offsets"]
        assert stop - begin == count * DTYPES[tensor["dtype"]]
    return {name: (t["dtype"], t["shape"]) for name, t in header.items()}


def deterministic(output):
    return digest_tree(output, "*.safetensors", "*.jsonl", "*/*.npy")


def check(output, statuses):
    """Every row of one shard once, in order; the tensors have those that succeeded."""
    rows = lines(output)
    assert [r["status"] for r in rows] == statuses
    good = [r for r in rows if r["status"] == "success"]
    assert [r["row"] for r in good] == list(range(len(good)))
    assert all("row" not in r for r in rows if r["status"] != "success")
    (features,) = pathlib.Path(output).glob("*.safetensors")
    for dtype, shape in tensors(features).values():
        assert shape[0] == len(good)
    assert attempt_leftovers(output) == []
    return rows


def run(fleet, source, output, *more, check=True):
    words = ["run", "encode", source, "--output", output, "--model", MODEL, *more]
    return fleet.vlmq(*words, check=check)


EVERYTHING = "--tokens all --hidden-state -2 --cls --embedding --captions --npy".split()


def test_tars_become_features_with_a_row_for_every_sample(quick, sample, folder):
    statuses = write_tar(folder / "in" / "00042.tar", sample, 40)
    run(quick, "in", "out", *EVERYTHING)
    rows = check(folder / "out", statuses)
    assert [r["key"] for r in rows] == [f"{i:09}" for i in range(40)]
    assert [r["caption"] for r in rows] == [f"caption {i}" for i in range(40)]
    assert [r["meta"]["n"] for r in rows] == list(range(40))
    found = tensors(folder / "out" / "00042.safetensors")
    assert set(found) == {"tokens", "cls", "embedding", "caption_embedding"}
    assert all(dtype == "F16" for dtype, _ in found.values())
    assert len(found["tokens"][1]) == 3
    stats = json.loads((folder / "out" / "00042_stats.json").read_text())
    assert stats["count"] == 40 and stats["successes"] == statuses.count("success")
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["kind"] == "encode"
    assert (folder / "out" / "report.html").exists()
    assert (folder / "out" / "img_emb" / "img_emb_00042.npy").exists()
    assert (folder / "out" / "text_emb" / "text_emb_00042.npy").exists()


def test_slots_do_not_share_out_the_processors_of_the_device_s_task(quick, sample, folder):
    """One of them runs at a time; a worker of one slot gives it all there are."""
    threads = []
    write_tar(folder / "in" / "0.tar", sample, 4, bad=False)
    for slots in (1, 8):
        assert quick.workers[-1].stop() == 0
        quick.start_worker("--slots", slots)
        run(quick, "in", f"out{slots}")
        stats = json.loads((folder / f"out{slots}" / "0_stats.json").read_text())
        threads += [s["threads"] for s in stats["stages"] if s["name"] == "decode"]
    assert threads[0] == threads[1] > 0


def test_tars_with_pax_headers_and_long_names_are_read_as_others(quick, sample, folder):
    plain = write_tar(folder / "plain" / "0.tar", sample, 20)
    pax = write_tar(folder / "pax" / "0.tar", sample, 20, pax=True)
    run(quick, "plain", "out", "--cls")
    run(quick, "pax", "out-pax", "--cls")
    check(folder / "out", plain)
    rows = check(folder / "out-pax", pax)
    assert rows[0]["key"] == "a long folder name/" + "x" * 90 + "/000000000"
    assert digest_tree(folder / "out", "0.safetensors") == digest_tree(
        folder / "out-pax", "0.safetensors"
    )


def test_batches_threads_and_workers_change_no_byte(quick, sample, folder):
    for shard in range(4):
        write_tar(folder / "in" / f"{shard:05}.tar", sample, 12, first=12 * shard)
    run(quick, "in", "one", *EVERYTHING, "--batch", 1, "--decode-threads", 1)
    quick.start_worker()
    run(quick, "in", "two", *EVERYTHING, "--batch", 7, "--decode-threads", 3)
    assert deterministic(folder / "one") == deterministic(folder / "two")
    assert len(deterministic(folder / "one")) == 4 * 4


def test_a_folder_of_pictures_is_encoded_where_it_is(quick, sample, folder):
    for i in range(9):
        path = folder / "in" / ("a" if i < 5 else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample[i] if i != 4 else b"no picture")
    (folder / "in" / "a" / "1.txt").write_text("the second")
    run(quick, "in", "out", "--shard-rows", 4)
    rows = lines(folder / "out")
    assert [r["key"] for r in rows] == [f"{'a' if i < 5 else 'b'}/{i}.png" for i in range(9)]
    assert [r["status"] for r in rows] == ["success"] * 4 + ["unknown_format"] + ["success"] * 4
    assert rows[1]["caption"] == "the second"
    assert sorted(p.name for p in (folder / "out").glob("*.safetensors")) == [
        f"{i:05}.safetensors" for i in range(3)
    ]
    assert not (folder / "out" / "_vlmq" / "listing").exists()


def test_encoding_follows_a_download_shard_by_shard(quick, web, folder):  # noqa: F811
    rows = make_list(web, 40)
    write_csv(folder / "list.csv", rows)
    quick.start_worker()
    download = quick.submit(
        "download", "list.csv", "--output", "shards", "--shard-rows", 8, *options()
    )
    quick.vlmq("run", "encode", "--from", download, "--output", "out", "--model", MODEL, "--cls")
    quick.wait_job(download, "done")
    got = lines(folder / "out")
    good = [i for i, (url, _) in enumerate(rows) if "/files/" in url]
    assert [r["key"] for r in got] == [f"{i // 8:05}{i % 8}" for i in good]
    assert [r["caption"] for r in got] == [rows[i][1] for i in good]
    assert {r["status"] for r in got} == {"success"}
    assert got[0]["meta"]["url"] == rows[good[0]][0]
    # The same shards, read as they lie there, give the same features.
    run(quick, "shards", "again", "--cls")
    assert deterministic(folder / "again") == deterministic(folder / "out")


def test_encoding_follows_a_download_of_plain_files(quick, web, folder):  # noqa: F811
    rows = make_list(web, 12, bad=False)
    write_csv(folder / "list.csv", rows)
    download = quick.submit(
        "download", "list.csv", "--output", "shards", "--output-format", "files",
        "--shard-rows", 6, *options()
    )  # fmt: skip
    quick.vlmq("run", "encode", "--from", download, "--output", "out", "--model", MODEL)
    assert [r["key"] for r in lines(folder / "out")] == [f"{i // 6:05}{i % 6}" for i in range(12)]
    assert sorted(p.name for p in (folder / "out").glob("*.safetensors")) == [
        "00000.safetensors",
        "00001.safetensors",
    ]


def test_what_a_killed_worker_leaves_is_made_again_byte_for_byte(quick, sample, folder):
    for shard in range(3):
        write_tar(folder / "in" / f"{shard:05}.tar", sample, 150, first=150 * shard)
    run(quick, "in", "calm", *EVERYTHING)
    job = quick.submit("encode", "in", "--output", "out", "--model", MODEL, *EVERYTHING)
    for kills in range(3):
        worker = quick.workers[-1]
        wait_for(
            lambda: list((folder / "out" / "_vlmq").glob("attempt/*/*.jsonl"))
            or quick.job(job)["state"] == "done",
            "a shard is being made",
        )
        worker.kill()
        quick.start_worker()
    quick.wait_job(job, "done")
    assert deterministic(folder / "out") == deterministic(folder / "calm")
    assert attempt_leftovers(folder / "out") == []


def test_a_cancelled_job_ends_soon_and_a_drained_worker_hands_over(quick, sample, folder):
    for shard in range(2):
        write_tar(folder / "in" / f"{shard:05}.tar", sample, 2000, first=2000 * shard)
    run(quick, "in", "calm")
    job = quick.submit("encode", "in", "--output", "gone", "--model", MODEL)
    wait_for(lambda: quick.job(job)["state"] == "running", "it runs")
    quick.vlmq("cancel", job)
    quick.wait_job(job, "cancelled")
    job = quick.submit("encode", "in", "--output", "out", "--model", MODEL)
    wait_for(
        lambda: quick.job(job)["tasks_leased"] > 0 or quick.job(job)["state"] == "done",
        "a shard is being made",
    )
    assert quick.workers[-1].stop() == 0
    quick.start_worker()
    quick.wait_job(job, "done")
    assert deterministic(folder / "out") == deterministic(folder / "calm")


def test_a_missing_or_wrong_model_is_one_sentence_and_no_retry(quick, sample, folder):
    write_tar(folder / "in" / "0.tar", sample, 3)
    broken = folder / "broken"
    broken.mkdir()
    for path in MODEL.iterdir():
        data = path.read_bytes()
        (broken / path.name).write_bytes(data[:-100] if path.suffix == ".safetensors" else data)
    seen = set()
    for model, says in (
        ("nobody/nothing", "nobody/nothing"),
        (folder / "in", "config.json"),
        (broken, "model.safetensors"),
    ):
        result = quick.vlmq(
            "run", "encode", "in", "--output", f"out-{pathlib.Path(model).name}", "--model", model,
            check=False,
        )  # fmt: skip
        assert result.status != 0
        (job,) = [j for j in quick.vlmq("ls", "--json").lines() if j["id"] not in seen]
        seen.add(job["id"])
        (failure,) = quick.vlmq("errors", job["id"], "--json").lines()
        assert says in json.dumps(failure), failure
    assert "attempt=2" not in quick.workers[0].text()


def test_an_output_is_not_mixed_with_that_of_other_options(quick, sample, folder):
    write_tar(folder / "in" / "0.tar", sample, 3)
    run(quick, "in", "out")
    first = deterministic(folder / "out")
    run(quick, "in", "out")  # adopts
    result = run(quick, "in", "out", "--cls", check=False)
    assert result.status != 0
    assert "choose another --output" in result.out + result.err
    assert deterministic(folder / "out") == first


def held(fleet, condition, what):
    """Stops the worker in a moment for which condition holds."""
    worker = fleet.workers[-1]

    def caught():
        worker.send(signal.SIGSTOP)
        if condition():
            return True
        worker.send(signal.SIGCONT)
        return False

    wait_for(caught, what)
    return worker


def test_a_full_disk_is_told_and_the_job_goes_on_when_there_is_room(
    quick, sample, folder, small_disk  # noqa: F811
):
    for shard in range(2):
        write_tar(folder / "in" / f"{shard:05}.tar", sample, 600, first=600 * shard)
    run(quick, "in", "calm", *EVERYTHING)
    output = small_disk / "out"
    job = quick.submit("encode", "in", "--output", output, "--model", MODEL, *EVERYTHING)
    worker = held(quick, lambda: list(output.glob("_vlmq/attempt/*/scratch")), "a shard is made")
    fill(small_disk / "filler")
    worker.send(signal.SIGCONT)
    wait_for(lambda: "no space left" in quick.vlmq("logs", job).out.lower(), "it is told")
    wait_for(lambda: "disk.full" in worker.text(), "the worker takes no more")
    assert not list(output.glob("*.*")) and not list(output.glob("*_emb/*"))
    (small_disk / "filler").unlink()
    quick.wait_job(job, "done")
    assert deterministic(output) == deterministic(folder / "calm")
    assert attempt_leftovers(output) == []
    tasks = quick.vlmq("show", job, "--tasks", "--json").lines()
    assert [task for task in tasks if task.get("failures")] == []


def test_a_shard_is_published_while_the_next_one_is_encoded(quick, sample, folder):
    """What is left to write needs no device. Many files, so that it takes a while each time."""
    for shard in range(60):
        write_tar(folder / "in" / f"{shard:02}.tar", sample, 2)
    run(quick, "in", "out", "--tokens", "all", "--embedding", "--captions", "--npy")
    stats = [json.loads(path.read_text()) for path in (folder / "out").glob("*_stats.json")]
    assert len(stats) == 60
    stats.sort(key=lambda shard: shard["start_time"])
    assert any(b["start_time"] < a["end_time"] for a, b in zip(stats, stats[1:]))


def test_a_job_is_planned_while_another_one_has_the_device(quick, sample, folder):
    write_tar(folder / "in" / "0.tar", sample, 20000, bad=False)
    write_tar(folder / "few" / "0.tar", sample, 2)
    long = quick.submit("encode", "in", "--output", "out", "--model", MODEL)
    wait_for(lambda: quick.job(long)["progress"]["items"] > 0, "the first pictures")
    other = quick.submit("encode", "few", "--output", "other", "--model", MODEL)
    wait_for(lambda: quick.job(other)["state"] == "running", "it is planned")
    assert quick.job(long)["tasks_leased"] == 1 and quick.job(other)["tasks_done"] == 1
    quick.vlmq("cancel", long)
    assert quick.wait_job(other)["state"] == "done"


def test_private_files_that_somebody_removes_are_made_again(quick, sample, folder):
    write_tar(folder / "in" / "0.tar", sample, 600)
    run(quick, "in", "calm", *EVERYTHING)
    job = quick.submit("encode", "in", "--output", "out", "--model", MODEL, *EVERYTHING)
    attempts = folder / "out" / "_vlmq" / "attempt"
    worker = held(quick, lambda: list(attempts.glob("*/scratch")), "the shard is made")
    shutil.rmtree(attempts)
    worker.send(signal.SIGCONT)
    quick.wait_job(job, "done")
    assert "have vanished" in quick.vlmq("logs", job).out
    assert deterministic(folder / "out") == deterministic(folder / "calm")


def test_a_drain_while_labels_are_encoded_hands_over_at_once(quick, sample, folder):
    """So many of them that nobody is done soon; what the next worker finds is not half of them."""
    write_tar(folder / "in" / "0.tar", sample, 3)
    words = {f"label {i}": f"{i:x}" for i in range(99000)}  # short: the model's texts are
    (folder / "labels.json").write_text(json.dumps({"things": words}))
    quick.workers[0].stop()
    labels = ["--labels", folder / "labels.json"]
    first = quick.start_worker("--drain-s", "100ms")
    job = quick.submit("encode", "in", "--output", "out", "--model", MODEL, *labels)
    watch = quick.spawn("watch", job, "--json")
    wait_for(lambda: re.search(r'"name": *"labels"', watch.text()), "labels are encoded")
    since = time.monotonic()
    assert first.stop() == 0
    assert time.monotonic() - since < 20
    cache = folder / "models" / ".labels"
    assert not cache.exists() or not list(cache.iterdir())
    (task,) = [t for t in quick.vlmq("show", job, "--tasks", "--json").lines() if t["name"]]
    assert task["state"] == "ready" and not task.get("losses") and not task.get("failures"), task
    quick.start_worker()
    wait_for(lambda: quick.job(job)["tasks_leased"] == 1, "the next one is at it")
    quick.vlmq("cancel", job)
    quick.wait_job(job, "cancelled")
    assert quick.workers[-1].stop() == 0
    assert not cache.exists() or not list(cache.iterdir())
