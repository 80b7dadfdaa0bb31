"""One target's campaign: a process of its own, which atheris (libFuzzer) drives."""

import hashlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.judge import Budget, Judge
from tests.fuzz.target import Target

# Room beyond what a process has when it starts; a small file that asks for more is a finding.
_ROOM_BYTES = 8 << 30
_RSS_LIMIT_MB = 3000
_INTERRUPTED = 72  # libFuzzer's exit status after SIGINT or SIGTERM
_PATIENCE = 12  # seconds of the clock for one of processor time, where Python does not get a turn


class Progress(NamedTuple):
    """How far a campaign is: inputs so far, seconds, growth of memory in MB (0 but at the end)."""

    inputs: int
    seconds: float
    growth_mb: float


class Campaign(NamedTuple):
    """What is to be done.

    Attributes:
        name: of the target.
        make: makes it in an empty folder.
        budget: when to end.
        corpus: folder with inputs to begin with; what leads to new code is added.
        findings: folder that takes the log and the input at fault.
        seed: of the mutations.
    """

    name: str
    make: Callable[[Path], Target]
    budget: Budget
    corpus: Path
    findings: Path
    seed: int

    @property
    def log(self) -> Path:
        """What the fuzzer has written."""
        return self.findings / f"{self.name}.log"


def run(campaign: Campaign) -> Iterator[Progress | list[Path]]:
    """Run it to the end or to its first finding.

    Yields:
        Progress as it goes; last, where something is found, the files of the inputs at fault
        (none where there is only the log).

    Raises:
        KeyboardInterrupt: the campaign was sent SIGINT or SIGTERM.
    """
    campaign.findings.mkdir(parents=True, exist_ok=True)
    campaign.corpus.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    # RAM where there is such a folder: every input becomes a file.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    begin = time.time()
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory) as folder:
        process = os.fork()
        if process == 0:
            os.close(reading)
            _fuzz(campaign, Path(folder), writing)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                inputs, seconds, growth = line.split()
                yield Progress(int(inputs), float(seconds), float(growth))
        _, status = os.waitpid(process, 0)
    if os.waitstatus_to_exitcode(status) == _INTERRUPTED:
        raise KeyboardInterrupt
    if status != 0:
        files = campaign.findings.glob(f"{campaign.name}-*")
        yield sorted(file for file in files if file.stat().st_mtime >= begin)


def _fuzz(campaign: Campaign, folder: Path, pipe: int) -> None:
    import atheris

    try:
        log = os.open(campaign.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, sys.stdout.fileno())
        os.dup2(log, sys.stderr.fileno())
        target = campaign.make(folder)
        for number, seed in enumerate(target.seeds):
            (campaign.corpus / f"seed-{number}").write_bytes(seed)
        _limit_memory()

        def report(inputs: int, seconds: float, growth: float) -> None:
            os.write(pipe, f"{inputs} {seconds:.3f} {growth:.3f}\n".encode())

        def save(data: bytes) -> None:
            name = f"{campaign.name}-{hashlib.sha256(data).hexdigest()[:16]}"
            (campaign.findings / name).write_bytes(data)

        options = [
            f"-max_len={max(4096, *map(len, target.seeds))}",
            *("-len_control=0", "-verbosity=0", f"-seed={campaign.seed}"),
            *(
                f"-timeout={_PATIENCE * campaign.budget.hang_seconds}",
                f"-rss_limit_mb={_RSS_LIMIT_MB}",
            ),
            f"-artifact_prefix={campaign.findings / campaign.name}-",
        ]
        judge = Judge(target, campaign.budget, report, save)
        atheris.Setup([sys.argv[0], *options, str(campaign.corpus)], judge)
        atheris.Fuzz()
    finally:
        os._exit(1)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + _ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
