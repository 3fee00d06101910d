"""vlmq model: pull from a hub of the same layout, which does everything wrong that one may."""

import hashlib
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import time

import pytest
from fleet import BIN, wait_for
from hub import WEIGHTS, Hub, model, safetensors
from storm import seeded
from test_faults import fill, small_disk  # noqa: F401

NAME = "openai/clip-tiny"
NEEDED = {
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "model.safetensors",
}


@pytest.fixture
def hub(fleet, folder):
    hub = Hub()
    fleet.models = folder / "models"
    fleet.env |= {
        "VLMQ_MODELS": str(fleet.models),
        "HF_ENDPOINT": hub.url + "/",
        "HF_TOKEN": "",
        "HF_HUB_OFFLINE": "0",
        # What is on this machine is not asked for by way of another.
        "http_proxy": "http://127.0.0.1:1",
        "NO_PROXY": "",
        "no_proxy": "",
    }
    try:
        yield hub
    finally:
        hub.stop()


def pull(fleet, *args, name=NAME, status=0):
    result = fleet.vlmq("model", "pull", name, *args, check=False)
    assert result.status == status, result
    return result


def files(folder):
    folder = pathlib.Path(folder)
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def interrupt(fleet, hub, at, how=signal.SIGKILL):
    """Ends a pull when it has so many bytes of the weights; returns their path."""
    hub.stalls["model.safetensors"] = at
    process = fleet.spawn("model", "pull", NAME)

    def part():
        parts = (fleet.models / "openai").glob(".part-*/*.part")
        return next((p for p in parts if p.stat().st_size == at), None)

    path = wait_for(part, "a part is there")
    process.send(how)
    assert process.wait(30) == (130 if how == signal.SIGINT else -how)
    assert how != signal.SIGINT or "goes on where it was" in process.text()
    hub.stalls.clear()
    hub.go_on.set()
    return path


def beside(fleet):
    """What is in the owner's folder besides the model and its lock."""
    owner = fleet.models / NAME.split("/")[0]
    return sorted(p.name for p in owner.iterdir()) if owner.exists() else []


def test_pull_fetches_what_is_needed_and_no_more(fleet, hub):
    repo = hub.add(NAME)
    result = pull(fleet, "--json").json()
    folder = fleet.models / NAME
    assert result["folder"] == str(folder) and result["revision"] == repo.commit()
    assert result["files_fetched"] == len(NEEDED)
    assert files(folder) == NEEDED | {"vlmq.json"}
    for name in NEEDED:
        assert (folder / name).read_bytes() == repo.files[name], name
    info = json.loads((folder / "vlmq.json").read_text())
    assert info["repository"] == NAME and info["revision"] == repo.commit()
    sums = {f["name"]: f["sha256"] for f in info["files"]}
    assert sums == {n: hashlib.sha256(repo.files[n]).hexdigest() for n in NEEDED}
    assert beside(fleet) == [".lock-clip-tiny", "clip-tiny"]
    # Again: nothing is fetched.
    before = len(hub.asked("/resolve/"))
    assert "already" in pull(fleet).out
    assert len(hub.asked("/resolve/")) == before


def test_ls_show_and_rm(fleet, hub):
    repo = hub.add(NAME)
    assert "no models" in fleet.vlmq("model", "ls").out
    pull(fleet)
    listed = fleet.vlmq("model", "ls", "--json").lines()
    assert [row["model"] for row in listed] == [NAME]
    assert listed[0]["bytes"] == sum(len(repo.files[n]) for n in NEEDED)
    assert NAME in fleet.vlmq("model", "ls").out
    shown = fleet.vlmq("model", "show", NAME, "--json").json()
    assert shown["type"] == "clip" and shown["parameters"] == 64010 and shown["tensors"] == 2
    assert shown["dtypes"] == {"F32": 64010} and shown["vision_config"]["patch_size"] == 8
    text = fleet.vlmq("model", "show", NAME).out
    assert "64,010" in text and "hidden_size 16" in text and repo.commit() in text
    assert fleet.vlmq("model", "show", f"./models/{NAME}", "--json").json()["parameters"] == 64010
    words = fleet.vlmq("completion", "--", "model", "show", "").out.split()
    assert words == [NAME]
    fleet.vlmq("model", "rm", NAME)
    assert beside(fleet) == [".lock-clip-tiny"]
    missing = fleet.vlmq("model", "show", NAME, check=False)
    assert missing.status == 3 and f"vlmq model pull {NAME}" in missing.err
    assert fleet.vlmq("model", "rm", NAME, check=False).status == 3
    assert fleet.vlmq("model", "rm", "no/such", check=False).status == 3
    assert not (fleet.models / "no").exists()


def test_wrong_command_lines(fleet, hub):
    for line in (
        ["pull"],
        ["pull", "../x"],
        ["pull", "a/b/c"],
        ["fetch", "a/b"],
        ["ls", "a"],
        ["show", NAME, "--all"],
        ["rm", "/etc"],
        ["pull", NAME, "--endpoint", "ftp://x"],
    ):
        result = fleet.vlmq("model", *line, check=False)
        assert result.status == 2 and len(result.err.splitlines()) == 1, (line, result)
    assert hub.requests == []
    fleet.env["HF_HUB_OFFLINE"] = "1"
    offline = pull(fleet, status=4)
    assert "HF_HUB_OFFLINE" in offline.err and hub.requests == []


def test_the_token_goes_to_the_hub_and_nowhere_else(fleet, hub, folder):
    hub.add(NAME).gated = "granted"
    (folder / "token").write_text(hub.token + "\n")
    pull(fleet, "--token-file", "token")
    for role, path, headers in hub.requests:
        assert headers.get("Authorization") == (
            f"Bearer {hub.token}" if role == "hub" else None
        ), path
    assert hub.asked("", "store")
    fleet.env["HF_TOKEN"] = "two words"
    assert pull(fleet, status=2)
    fleet.env["HF_TOKEN"] = hub.token
    clear = pull(fleet, "--endpoint", "http://192.0.2.1", status=2)
    assert "unencrypted" in clear.err and hub.token not in clear.err


def test_gated_private_and_missing(fleet, hub):
    repo = hub.add(NAME)
    repo.gated = True
    denied = pull(fleet, status=6)
    assert "gated" in denied.err and "HF_TOKEN" in denied.err
    fleet.env["HF_TOKEN"] = hub.token
    denied = pull(fleet, status=6)
    assert "gated" in denied.err and "account of this token" in denied.err
    repo.gated, repo.private = False, True
    pull(fleet)
    fleet.env["HF_TOKEN"] = ""
    assert "private" in pull(fleet, status=3).err
    assert "no model" in pull(fleet, name="open/none", status=3).err
    repo.private = False
    assert "no revision v9" in pull(fleet, "--revision", "v9", status=3).err
    assert (fleet.models / NAME / "config.json").exists()  # the one that was here


def test_a_branch_with_slashes_and_a_mirror_of_another_port(fleet, hub):
    hub.add(NAME)
    pull(fleet, "--revision", "refs/pr/1", "--endpoint", hub.url)
    assert hub.asked("/revision/refs%2Fpr%2F1")


def test_shards_and_a_listing_of_many_pages(fleet, hub):
    names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    shards = {name: safetensors({name: ((5,), i)}) for i, name in enumerate(names)}
    index = {"weight_map": {name: name for name in names}}
    more = {"model.safetensors": None, "model.safetensors.index.json": json.dumps(index).encode()}
    repo = hub.add(NAME, model(**more, **shards))
    hub.page_rows = 2
    pull(fleet)
    have = files(fleet.models / NAME)
    assert set(shards) <= have and "model.safetensors.index.json" in have
    hub.next_at = ""  # relative
    assert "already" in pull(fleet).out
    for hub.next_at in hub.store_url, "http://127.0.0.1:1", "file:///etc", "http://":
        assert "listing goes on at" in pull(fleet, status=2).err, hub.next_at
    assert not hub.asked("/api/", "store")
    hub.next_at = hub.url
    assert "pytorch_model.bin" not in have
    assert fleet.vlmq("model", "show", NAME, "--json").json()["tensors"] == 3
    del repo.files["model-00002-of-00003.safetensors"]
    assert "only 2 of the 3" in pull(fleet, status=2).err
    # Where there is one whole file, the shards are not fetched besides.
    repo.files["model.safetensors"] = WEIGHTS
    pull(fleet)
    assert not set(shards) & files(fleet.models / NAME)


def test_what_vlmq_cannot_load_is_refused(fleet, hub):
    hub.add(NAME, model(**{"model.safetensors": None}))
    refused = pull(fleet, status=2)
    assert "pytorch_model.bin" in refused.err or "flax_model.msgpack" in refused.err
    assert "refs/pr/N" in refused.err
    hub.add(NAME, model(**{"config.json": None}))
    assert "config.json" in pull(fleet, status=2).err
    hub.add(NAME, {"config.json": b"{}"})
    assert "no model.safetensors" in pull(fleet, status=2).err
    assert not (fleet.models / NAME).exists()


def test_all_files(fleet, hub):
    hub.add(NAME, model(**{"sub/deep/file.txt": b"x", ".hidden/y": b"y", "vlmq.json": b"{}"}))
    pull(fleet, "--all")
    have = files(fleet.models / NAME)
    assert {"README.md", "pytorch_model.bin", "sub/deep/file.txt"} <= have
    assert not [name for name in have if name.startswith(".")]
    assert json.loads((fleet.models / NAME / "vlmq.json").read_text())["repository"] == NAME


@pytest.mark.parametrize(
    "path",
    ["../../escaped", "/tmp/vlmq-escaped", "a/../../escaped", "a//b", "..", "a/./b", "x\n", "a\\b"],
)
def test_paths_that_lead_out_of_the_folder(fleet, hub, folder, path):
    repo = hub.add(NAME, model(**{path: b"escaped"}))
    pull(fleet)  # is not needed, so not asked for
    assert files(fleet.models / NAME) == NEEDED | {"vlmq.json"}
    refused = pull(fleet, "--all", status=2)
    assert "where none may be put" in refused.err
    assert not [p for p in folder.rglob("*escaped*")]
    assert not pathlib.Path("/tmp/vlmq-escaped").exists()
    repo.extra = [repo.entry("config.json", b"{}")]
    assert "twice" in pull(fleet, status=1).err


def test_links_that_stand_in_the_way_are_not_followed(fleet, hub, folder):
    """Somebody has put links where parts will be: the pull fails or replaces them."""
    hub.add(NAME)
    part = interrupt(fleet, hub, 1000)
    victim = folder / "victim"
    victim.write_bytes(b"mine")
    part.unlink()
    part.symlink_to(victim)
    result = fleet.vlmq("model", "pull", NAME, check=False)
    assert result.status != 0 and victim.read_bytes() == b"mine"


def test_a_cut_is_gone_on_with(fleet, hub):
    hub.add(NAME)
    hub.cuts["model.safetensors"] = [70000, 70000]
    pull(fleet)
    ranges = [h.get("Range") for h in hub.asked("model.safetensors", "store")]
    assert ranges == [None, "bytes=70000-", "bytes=140000-"]
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == WEIGHTS


def test_a_hub_without_ranges_is_asked_for_all(fleet, hub):
    hub.add(NAME)
    hub.ranges = False
    hub.cuts["model.safetensors"] = [70000]
    pull(fleet)
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_pull_goes_on_where_it_was(fleet, hub, how):
    hub.add(NAME)
    interrupt(fleet, hub, 100000, how)
    partly = fleet.vlmq("model", "show", NAME, check=False)
    assert partly.status == 3 and "partly" in partly.err
    assert not (fleet.models / NAME).exists()
    pull(fleet)
    last = hub.asked("model.safetensors", "store")[-1]
    assert last["Range"] == "bytes=100000-" and last["If-Range"].startswith('"')
    assert len(hub.asked("resolve/" + hub.repos[NAME].commit() + "/config.json")) == 1
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == WEIGHTS
    assert beside(fleet) == [".lock-clip-tiny", "clip-tiny"]


def test_a_crash_while_publishing_without_hard_links_costs_no_download(fleet, hub):
    hub.add(NAME)
    pull(fleet)
    place = fleet.models / NAME
    # There files are renamed, not linked: all of them are in .new-NAME alone.
    (place / "vlmq.json").unlink()
    place.rename(place.with_name(".new-clip-tiny"))
    (place.with_name(".new-clip-tiny") / "vocab.json").write_bytes(b"[]")  # is checked again
    before = len(hub.requests)
    pull(fleet)
    fetched = [p for _, p, _ in hub.requests[before:] if "/resolve/" in p]
    assert len(fetched) == 1 and fetched[0].endswith("/vocab.json")
    assert (place / "model.safetensors").read_bytes() == WEIGHTS
    assert (place / "vocab.json").read_bytes() == b"{}"
    assert beside(fleet) == [".lock-clip-tiny", "clip-tiny"]


def test_a_file_that_changed_behind_a_part_is_fetched_whole(fleet, hub):
    hub.add(NAME)
    hub.etags["model.safetensors"] = '"before"'
    interrupt(fleet, hub, 1000)
    hub.etags["model.safetensors"] = '"after"'
    before = len(hub.requests)
    pull(fleet)
    again = [h for r, p, h in hub.requests[before:] if r == "store"]
    assert len(again) == 1 and again[0]["If-Range"] == '"before"'
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == WEIGHTS


def test_a_page_of_somebody_else_costs_no_part(fleet, hub):
    """What a hotel's network answers for everything until one has signed in."""
    hub.add(NAME)
    interrupt(fleet, hub, 100000)
    hub.lies["model.safetensors"] = [b"<html>Sign in</html>"] * 2
    assert "the hub lists" in pull(fleet, status=1).err
    hub.shift = 1  # and what a broken proxy answers
    assert "another range" in pull(fleet, status=1).err
    hub.shift = 0
    before = len(hub.requests)
    pull(fleet)
    again = [h for r, p, h in hub.requests[before:] if r == "store"]
    assert [h["Range"] for h in again] == ["bytes=100000-"]
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == WEIGHTS


def test_a_lie_is_fetched_once_more_and_two_are_an_error(fleet, hub):
    hub.add(NAME)
    lie = bytes([7]) * len(WEIGHTS)
    hub.lies["model.safetensors"] = [lie]
    hub.lies["vocab.json"] = [b"[]"]
    pull(fleet)
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == WEIGHTS
    assert (fleet.models / NAME / "vocab.json").read_bytes() == b"{}"
    hub.repos[NAME].files["model.safetensors"] = newer = safetensors({"c": ((9,), 3)})
    hub.lies["model.safetensors"] = [lie[: len(newer)]] * 2
    wrong = pull(fleet, status=1)
    assert "another content" in wrong.err
    # What was here stays.
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == WEIGHTS
    pull(fleet)
    assert (fleet.models / NAME / "model.safetensors").read_bytes() == newer


def test_a_new_revision_takes_the_place_of_the_old_and_changes_no_open_file(fleet, hub):
    repo = hub.add(NAME)
    pull(fleet)
    place = fleet.models / NAME
    with open(place / "config.json", "rb") as opened:
        number = os.fstat(opened.fileno()).st_ino
        weights = os.stat(place / "model.safetensors").st_ino
        repo.files["config.json"] += b"\n"
        before = len(hub.asked("model.safetensors", "store"))
        pull(fleet)
        assert not opened.read().endswith(b"\n")
    assert (place / "config.json").read_bytes().endswith(b"\n")
    assert os.stat(place / "config.json").st_ino != number
    # The large file is the same: it was neither fetched nor copied.
    assert len(hub.asked("model.safetensors", "store")) == before
    assert os.stat(place / "model.safetensors").st_ino == weights
    assert beside(fleet) == [".lock-clip-tiny", "clip-tiny"]


def test_a_folder_of_somebody_is_not_replaced(fleet, hub):
    hub.add(NAME)
    place = fleet.models / NAME
    place.mkdir(parents=True)
    (place / "config.json").write_text("mine")
    assert "not replaced" in pull(fleet, status=2).err
    assert fleet.vlmq("model", "rm", NAME, check=False).status == 2
    assert (place / "config.json").read_text() == "mine"


def test_bodies_that_are_too_long_too_short_or_endless(fleet, hub):
    hub.add(NAME)
    hub.endless.add("model.safetensors")
    hub.lengths["model.safetensors"] = None
    assert "more comes" in pull(fleet, status=1).err
    hub.endless.clear()
    hub.lengths["model.safetensors"] = len(WEIGHTS) + 5
    assert "the hub lists" in pull(fleet, status=1).err
    hub.lengths["model.safetensors"] = 5
    assert "the hub lists" in pull(fleet, status=1).err
    hub.lengths["model.safetensors"] = None  # and no ranges: it never gets further
    hub.cuts["model.safetensors"] = [1000] * 9
    hub.ranges = False
    assert "broke off" in pull(fleet, status=4).err
    hub.cuts.clear()
    pull(fleet)


def test_trouble_that_passes_and_trouble_that_stays(fleet, hub):
    hub.add(NAME)
    hub.trouble = [(429, {"Retry_After": 1}), (503, {})]
    result = pull(fleet)
    assert "429" in result.err and "trying again" in result.err
    hub.trouble = [(429, {"Retry_After": 4000})]
    assert "4000 s" in pull(fleet, status=4).err
    hub.trouble = [(418, {})]
    assert "418" in pull(fleet, status=2).err
    hub.trouble = [(200, {"X_Nothing": "x" * 300})]
    assert "no JSON" in pull(fleet, status=1).err
    hub.trouble = [(404, {})]
    pull(fleet, status=3)


def test_redirects_that_are_not_followed(fleet, hub):
    hub.add(NAME)
    for to in ("file:///etc/passwd", "gopher://127.0.0.1/", "http://"):
        hub.redirect = to
        assert pull(fleet, status=2), to
    hub.redirect = f"{hub.url}/{NAME}/resolve/{hub.repos[NAME].commit()}/model.safetensors"
    assert "more than 10 times" in pull(fleet, status=2).err


def test_a_disk_that_is_too_small_is_told_at_once(fleet, hub):
    hub.add(NAME).sizes["model.safetensors"] = 1 << 42
    assert "needs 4.4 TB more" in pull(fleet, status=1).err
    assert not hub.asked("/resolve/")


def test_a_model_that_is_here_needs_no_room(fleet, hub, small_disk):
    fleet.env["VLMQ_MODELS"] = str(small_disk)
    repo = hub.add(NAME)
    pull(fleet)
    fill(small_disk / "filler")
    bytes_here = sum(len(repo.files[n]) for n in NEEDED)
    assert pull(fleet, "--json").json()["bytes"] == bytes_here


def test_a_terminal_gets_a_bar(fleet, hub):
    hub.add(NAME)
    hub.stalls["model.safetensors"] = 100000
    try:
        first, second = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine has no terminals: {error}")
    argv = [str(BIN / "vlmq"), "model", "pull", NAME]
    with subprocess.Popen(argv, cwd=fleet.folder, env=fleet.client_env(), stderr=second) as child:
        os.close(second)
        seen = b""
        while b"#" not in seen:
            seen += os.read(first, 4096)
        hub.stalls.clear()
        hub.go_on.set()
        assert child.wait(30) == 0
    os.close(first)
    assert re.search(rb"\r\x1b\[Kopenai/clip-tiny  #+-+ +\d+ %  \d+ kB of 257 kB", seen), seen


def test_a_disk_that_fills_up_keeps_what_is_there(fleet, hub, small_disk):
    fleet.env["VLMQ_MODELS"] = str(small_disk)
    hub.add(NAME)
    hub.stalls["model.safetensors"] = 1000
    process = fleet.spawn("model", "pull", NAME)
    assert hub.stalled.wait(30)
    fill(small_disk / "filler")
    hub.stalls.clear()
    hub.go_on.set()
    assert process.wait(60) == 1
    assert "No space left" in process.text()
    (small_disk / "filler").unlink()
    pull(fleet)
    assert (small_disk / NAME / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.asked("model.safetensors", "store")[-1]["Range"]


def test_kills_at_any_moment_leave_a_whole_model_or_none(fleet, hub):
    """Two revisions in turn; what stands in the model's place is always one of them, whole."""
    repo = hub.add(NAME)
    place = fleet.models / NAME
    revisions = [model(), model(**{"model.safetensors": safetensors({"z": ((5000,), 9)})})]
    wanted = [{n: files[n] for n in NEEDED} for files in revisions]
    chance = seeded("kills")
    for turn in range(16):
        repo.files = revisions[turn % 2]
        process = fleet.spawn("model", "pull", NAME)
        time.sleep(chance.uniform(0.02, 0.3))  # the moment is the fault
        process.send(signal.SIGKILL)
        process.wait()
        if place.exists():
            assert {n: (place / n).read_bytes() for n in NEEDED} in wanted
            assert files(place) == NEEDED | {"vlmq.json"}
    pull(fleet)
    assert {n: (place / n).read_bytes() for n in NEEDED} == wanted[turn % 2]
    assert beside(fleet) == [".lock-clip-tiny", "clip-tiny"]


def test_two_pulls_at_once_are_one(fleet, hub):
    hub.add(NAME)
    hub.stalls["model.safetensors"] = 1000
    first = fleet.spawn("model", "pull", NAME, name="first")
    assert hub.stalled.wait(30)
    second = fleet.spawn("model", "pull", NAME, name="second")
    wait_for(lambda: "waiting for it" in second.text(), "the second waits")
    del hub.stalls["model.safetensors"]
    hub.go_on.set()  # the first one's connection ends there, and it goes on
    assert first.wait(60) == 0 and second.wait(60) == 0
    assert "already" in second.text()
    assert len(hub.asked("/vocab.json")) == 1


def test_rm_tells_that_it_waits_for_a_pull(fleet, hub):
    hub.add(NAME)
    hub.stalls["model.safetensors"] = 1000
    first = fleet.spawn("model", "pull", NAME, name="first")
    assert hub.stalled.wait(30)
    second = fleet.spawn("model", "rm", NAME, name="second")
    wait_for(lambda: "waiting for it" in second.text(), "rm waits")
    first.send(signal.SIGINT)
    assert first.wait(30) == 130 and second.wait(30) == 0
    assert beside(fleet) == [".lock-clip-tiny"]


def test_listings_that_are_no_listings(fleet, hub):
    repo = hub.add(NAME)
    good = repo.entry("config.json", b"{}")
    for bad in (
        [1],
        [{"type": "file"}],
        [good | {"size": -1}],
        [good | {"size": 1 << 50}],
        [good | {"oid": "zz"}],
        [good | {"path": "a\0b"}],
        [good | {"lfs": {"oid": "short", "size": 1}}],
    ):
        repo.extra = bad
        result = pull(fleet, status=1)
        assert re.search("listing|no JSON", result.err), (bad, result)
    repo.extra = [{"type": "directory", "path": f"d{i}", "oid": "0" * 40} for i in range(20001)]
    assert "more than 20000" in pull(fleet, status=1).err
