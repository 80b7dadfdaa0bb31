"""Memory and time of a large word-vector file: its first read, then the cache.

    python -m benchmarks.vector_memory               # as GoogleNews: 3,000,000 x 300, 3.6 GB

writes such a file of random vectors, which holds classes of CIFAR-100 here and there and at its
very end, reads them in a process, then from the cache in another, compares what they got with what
was written, and removes the file. The peak is VmHWM of /proc/self/status, the process' own;
getrusage's also counts what the process was before its program began. It includes what a
memory-mapped file keeps there.
"""

import json
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.hardware import header, header_lines
from benchmarks.results import table, write_json
from ffdwv_fast.command import ArgumentParser, positive_int, run_command
from ffdwv_fast.data.class_names import CIFAR100_CLASSES
from ffdwv_fast.errors import InputError

FORMATS = ("word2vec-binary", "word2vec-text", "gensim-native")
_BLOCK = 10_000

_CHILD = """
import json, sys, time
from pathlib import Path

def peak_bytes():
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

from ffdwv_fast import class_vectors
imported, begin = peak_bytes(), time.perf_counter()
path, cache, names = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
vectors = class_vectors(names, path, cache_dir=cache, allow_pickle=True)
seconds = time.perf_counter() - begin
print(json.dumps({"import_bytes": imported, "peak_bytes": peak_bytes(), "seconds": seconds,
                  "sums": vectors.double().sum(dim=1).tolist()}))
"""


def main(argv: list[str] | None = None) -> None:
    """Measure, print a table, and write it where asked to."""
    parser = ArgumentParser(prog="python -m benchmarks.vector_memory", description=__doc__)
    parser.add_argument("--words", type=positive_int, default=3_000_000, help="in the file")
    parser.add_argument("--width", type=positive_int, default=300, help="of a vector")
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="of the file")
    parser.add_argument(
        "--folder", type=Path, help="for the file (default: the system's temporary folder)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result")
    args = parser.parse_args(argv)
    found = header(torch.device("cpu")) | {"rows": measure(args)}
    print("\n".join([*header_lines(found), "", *_table(found["rows"])]))
    if args.json:
        write_json(args.json, found)


def measure(args: Namespace) -> list[dict[str, object]]:
    """A row for the first read and one for the cache.

    Args:
        args: `words`, `width`, `format` and `folder` of the command.

    Raises:
        InputError: the file cannot be written, or what was read is not what was written.
    """
    names = [name for name in CIFAR100_CLASSES if "_" not in name]
    if args.words < 2 * len(names):
        raise InputError(f"--words {args.words} is too few: give {2 * len(names)} or more")
    try:
        with tempfile.TemporaryDirectory(prefix="vector-memory-", dir=args.folder) as folder:
            file = Path(folder) / "vectors"
            _WRITERS[args.format](file, args.words, args.width, names)
            size = sum(part.stat().st_size for part in file.parent.iterdir())
            wanted, rows = _sums(args.words, args.width, names), []
            for source in ("file", "cache"):
                row = _in_a_process(file, Path(folder) / "cache", names)
                if not np.allclose(row.pop("sums"), wanted, rtol=1e-9):
                    raise InputError("what was read is not what was written")
                rows.append({"read from": source, "file_bytes": size, **row})
            return rows
    except OSError as error:
        raise InputError(f"the vector file cannot be written: {error}") from error


def _in_a_process(file: Path, cache: Path, names: list[str]) -> dict[str, object]:
    argv = [sys.executable, "-c", _CHILD, str(file), str(cache), json.dumps(names)]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"reading failed: {done.stderr.splitlines()[-1]}")
    return json.loads(done.stdout)


def _sums(words: int, width: int, names: list[str]) -> list[float]:
    """The sum of each class' vector, which tells whether the right one was read."""
    place, sums = _places(words, names), {}
    for start, block in _blocks(words, width):
        for name in names:
            if 0 <= place[name] - start < len(block):
                sums[name] = float(block[place[name] - start].astype(np.float64).sum())
    return [sums[name] for name in names]


def _places(words: int, names: list[str]) -> dict[str, int]:
    """The row of each class: spread over the file, the last class in the last row."""
    return {name: (i + 1) * words // len(names) - 1 for i, name in enumerate(names)}


def _blocks(words: int, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """The vectors, a block of rows at a time: the first row's number, [rows, width] float32."""
    for start in range(0, words, _BLOCK):
        rng = np.random.default_rng(start)
        yield start, rng.standard_normal((min(_BLOCK, words - start), width), np.float32)


def _vocabulary(words: int, names: list[str]) -> list[str]:
    vocabulary = [f"word{row}" for row in range(words)]
    for name, row in _places(words, names).items():
        vocabulary[row] = name
    return vocabulary


def _write_binary(file: Path, words: int, width: int, names: list[str]) -> None:
    vocabulary = _vocabulary(words, names)
    with open(file, "wb") as stream:
        stream.write(f"{words} {width}\n".encode())
        for start, block in _blocks(words, width):
            for word, vector in zip(vocabulary[start : start + len(block)], block, strict=True):
                stream.write(word.encode() + b" " + vector.tobytes())


def _write_text(file: Path, words: int, width: int, names: list[str]) -> None:
    vocabulary = _vocabulary(words, names)
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(f"{words} {width}\n")
        for start, block in _blocks(words, width):
            for word, vector in zip(
                vocabulary[start : start + len(block)], block.tolist(), strict=True
            ):
                stream.write(f"{word} {' '.join(map(repr, vector))}\n")


def _write_native(file: Path, words: int, width: int, names: list[str]) -> None:
    from gensim.models import KeyedVectors

    vectors = KeyedVectors(width)
    vectors.index_to_key = _vocabulary(words, names)
    vectors.key_to_index = {word: row for row, word in enumerate(vectors.index_to_key)}
    shape, beside = (words, width), f"{file}.table"
    # As a plain array: the pickle names the class.
    vectors.vectors = np.asarray(np.lib.format.open_memmap(beside, "w+", np.float32, shape))
    for start, block in _blocks(words, width):
        vectors.vectors[start : start + len(block)] = block
    vectors.save(str(file))
    Path(beside).unlink()


_WRITERS = dict(zip(FORMATS, (_write_binary, _write_text, _write_native), strict=True))


def _table(rows: list[dict[str, object]]) -> list[str]:
    head = ["read from", "file GB", "import MB", "peak MB", "seconds"]
    return table(
        head,
        [
            [
                *(row["read from"], f"{row['file_bytes'] / 1e9:.2f}"),
                *(f"{row['import_bytes'] / 1e6:.0f}", f"{row['peak_bytes'] / 1e6:.0f}"),
                f"{row['seconds']:.2f}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    run_command(main)
