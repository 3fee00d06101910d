"""Where the CPU time of processes goes: perf, attached for the length of a run."""

import pathlib
import signal
import subprocess

FREQUENCY = 499
STACK_BYTES = 16384
REPORTS = {
    "self": ("--no-children", "--percent-limit", "0.7"),
    "with-callees": ("--children", "--percent-limit", "1.5"),
}


class Profile:
    """Use it in a `with`; afterwards the folder holds NAME.self.txt and NAME.with-callees.txt."""

    def __init__(self, folder, **processes):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes, self.recorders = processes, {}

    def __enter__(self):
        for name, process in self.processes.items():
            argv = ["perf", "record", "-q", "-F", str(FREQUENCY), "-p", str(process.pid)]
            argv += ["--call-graph", f"dwarf,{STACK_BYTES}", "-o", str(self.data(name))]
            self.recorders[name] = subprocess.Popen(
                argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        return self

    def __exit__(self, *_):
        for recorder in self.recorders.values():
            recorder.send_signal(signal.SIGINT)
        for name, recorder in self.recorders.items():
            recorder.wait()
            for kind, options in REPORTS.items():
                argv = ["perf", "report", "-i", str(self.data(name)), "--stdio", "-g", "none"]
                done = subprocess.run(
                    [*argv, *options], capture_output=True, text=True, check=False
                )
                lines = [row for row in done.stdout.splitlines() if row and row[0] != "#"]
                path = self.folder / f"{name}.{kind}.txt"
                path.write_text("\n".join(lines) + "\n")

    def data(self, name):
        return self.folder / f"{name}.perf"
