"""--output-format files: what a real run writes is what the tars of another run hold."""

import hashlib
import json
import tarfile

from fleet import attempt_leftovers
from test_download import make_list, options, rows_of, web, write_csv  # noqa: F401 (a fixture)

ROWS, SHARD_ROWS = 90, 40


def test_folders_hold_what_tars_hold(fleet, folder, web):  # noqa: F811
    fleet.start()
    write_csv(folder / "list.csv", make_list(web, ROWS))
    argv = ["run", "download", folder / "list.csv", *options("--shard-rows", SHARD_ROWS)]
    tars, files = folder / "tars", folder / "files"
    fleet.vlmq(*argv, "--output", tars)
    result = fleet.vlmq(*argv, "--output", files, "--output-format", "files", "--json")
    job = result.lines()[-1]["job"]
    assert job["state"] == "done"
    assert rows_of(files) == rows_of(tars)
    assert list(files.glob("*.tar")) == list(files.glob("*.idx")) == []
    for shard in ("00000", "00001", "00002"):
        made = {path.name: path.read_bytes() for path in (files / shard).iterdir()}
        with tarfile.open(tars / f"{shard}.tar") as tar:
            held = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
        assert made == held and held
        for name in made:
            key, _ = name.split(".")
            assert {f"{key}.{end}" for end in ("jpg", "json", "txt")} <= set(made)
    manifest = json.loads((files / "manifest.json").read_text())
    for shard in manifest["shards"]:
        entry = {file["name"]: file for file in shard["files"]}
        name = shard["name"]
        ends = (".rows.jsonl", ".times.jsonl", "/", "_stats.json")
        assert sorted(entry) == [name + end for end in ends]
        tar = (tars / f"{name}.tar").read_bytes()
        assert entry[f"{name}/"]["sha256"] == hashlib.sha256(tar).hexdigest()
        sizes = sum(path.stat().st_size for path in (files / name).iterdir())
        assert entry[f"{name}/"]["bytes"] == sizes
    pictures = [(out / "report.html").read_text().count("data:image/jpeg") for out in (tars, files)]
    assert pictures[0] == pictures[1] > 0
    assert attempt_leftovers(files) == []
    results = fleet.vlmq("results", job["id"], "--all", "--json").lines()
    assert [any(f["name"] == shard["task"] + "/" for f in shard["files"]) for shard in results] == [
        True
    ] * 3

    # Once more: everything is there already. In the other format it is refused.
    fleet.vlmq(*argv, "--output", files, "--output-format", "files")
    other = fleet.vlmq(*argv, "--output", files, check=False)
    assert other.status != 0 and "--output-format" in other.out + other.err
