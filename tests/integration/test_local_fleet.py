"""The fleet that the client starts by itself: up, down, two side by side, mended after crashes."""

import json
import os
import pathlib
import signal
import subprocess

import pytest

from fleet import BIN, PATIENCE_S, Result, wait_for


class Local:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.env = {k: v for k, v in os.environ.items() if k != "VLMQ_BROKER"}
        self.env["HOME"] = str(self.folder)

    def vlmq(self, *args, check=True, wait=True):
        argv = [str(BIN / "vlmq"), *map(str, args)]
        if not wait:
            return subprocess.Popen(
                argv,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        result = Result(
            subprocess.run(
                argv,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S * 3,
                check=False,
            )
        )
        assert not check or result.status == 0, f"{args}: {result!r}\n{self.logs()}"
        return result

    def logs(self):
        return "\n".join(
            f"--- {p}\n{p.read_text(errors='replace')[-2000:]}"
            for p in (self.folder / ".vlmq").glob("*.log")
        )

    def pids(self):
        return {
            part["part"]: part["pid"]
            for part in json.loads(self.vlmq("status", "--json").out)["parts"]
            if part.get("pid")
        }


@pytest.fixture
def local(folder):
    made = []

    def make(name="a"):
        made.append(Local(folder / name))
        return made[-1]

    yield make
    for one in made:
        one.vlmq("down", check=False)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_first_command_starts_it_and_down_ends_all_of_it(local):
    one = local()
    assert one.vlmq("status", check=False).status == 3
    assert one.vlmq("run", "probe", "--tasks", 3).status == 0
    pids = one.pids()
    assert len(pids) >= 3 and all(alive(pid) for pid in pids.values())
    assert (one.folder / ".vlmq").is_dir()
    one.vlmq("down")
    wait_for(lambda: not any(alive(pid) for pid in pids.values()), "all parts ended")
    assert one.vlmq("status", check=False).status == 3
    one.vlmq("down")  # again: nothing to do


def test_jobs_survive_down_and_up(local):
    one = local()
    job = one.vlmq("submit", "probe", "--tasks", 50, "--task-ms", 100).out.split()[0]
    one.vlmq("down")
    one.vlmq("up")
    assert one.vlmq("watch", job).status == 0
    assert one.vlmq("show", job, "--json").json()["state"] == "done"


def test_two_fleets_do_not_disturb_each_other(local):
    one, two = local("a"), local("b")
    one.vlmq("run", "probe", "--id", "in-a", "--tasks", 2)
    two.vlmq("run", "probe", "--id", "in-b", "--tasks", 2)
    assert [j["id"] for j in one.vlmq("ls", "--json").lines()] == ["in-a"]
    assert [j["id"] for j in two.vlmq("ls", "--json").lines()] == ["in-b"]
    two_pids = two.pids()
    one.vlmq("down")
    assert all(alive(pid) for pid in two_pids.values())
    assert two.vlmq("run", "probe", "--tasks", 2).status == 0


@pytest.mark.parametrize(
    "victims", [["redis"], ["broker"], ["worker"], ["redis", "broker", "worker"]]
)
def test_crashed_fleet_is_mended_by_the_next_command(local, victims):
    one = local()
    one.vlmq("run", "probe", "--id", "before", "--tasks", 2)
    killed = [pid for name, pid in one.pids().items() if any(name.startswith(v) for v in victims)]
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in killed), "they are gone")
    assert one.vlmq("run", "probe", "--tasks", 2).status == 0
    assert "before" in one.vlmq("ls").out
    assert not set(killed) & set(one.pids().values())


def test_racing_commands_start_one_fleet(local):
    one = local()
    clients = [one.vlmq("run", "probe", "--tasks", 1, wait=False) for _ in range(4)]
    for client in clients:
        out, err = client.communicate(timeout=PATIENCE_S * 2)
        assert client.returncode == 0, out + err + one.logs()
    names = list(one.pids())
    assert len([n for n in names if n.startswith("redis")]) == 1
    assert len([n for n in names if n.startswith("broker")]) == 1


def test_deep_folder_and_logs(local):
    one = local("deep/" + "/".join(["a-rather-long-folder-name"] * 5))
    assert one.vlmq("run", "probe", "--tasks", 2).status == 0
    assert "ready" in one.vlmq("logs", "broker").out
    elsewhere = one.folder.parent
    result = subprocess.run(
        [str(BIN / "vlmq"), "ls", "--json", "--fleet", str(one.folder / ".vlmq")],
        cwd=elsewhere,
        env=one.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0 and json.loads(result.stdout.splitlines()[0])["id"], result
