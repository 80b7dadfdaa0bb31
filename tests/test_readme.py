"""README.md does what it says: its commands are parsed or run, its Python is executed.

A command that no function here knows, or a Python block without a check, is a failure.
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from ffdwv_fast import evaluate, export, predict, similarity, train
from ffdwv_fast.report import __main__ as report
from ffdwv_fast.reproduce import __main__ as reproduce
from ffdwv_fast.semantics.bundled import CLASS_WORDS_FILE
from ffdwv_fast.training.configuration import configuration
from tests import commands
from tests.commands import ROOT
from tests.models.timm_here import imported_timm

README = (ROOT / "README.md").read_text()
NO_COMMANDS = (
    "photos/train/cat/*.jpg      photos/train/oak_tree/*.png      photos/val/cat/*.webp      ...",
    "S = softmax(-||w_i - w_j||)          loss = CE(y) + soft_weight * KL(S_y || softmax(logits))",
)
TINY = ("--model", "resnet8", "--epochs", "1", "--loader", "torch", "--device", "cpu")
PROGRAMS = ("make", "pip", "python", "torchrun")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Kind and text of the pieces of a Markdown text: a fence's language, "code" or "prose"."""
    fenced = re.split(r"^```(\w*)\n(.*?)^```\n", text, flags=re.MULTILINE | re.DOTALL)
    for index in range(0, len(fenced), 3):
        for piece in re.split(r"((?:^    .*\n)+)", fenced[index], flags=re.MULTILINE):
            yield ("code" if piece.startswith("    ") else "prose"), piece
        yield from zip(fenced[index + 1 : index + 2], fenced[index + 2 : index + 3], strict=True)


def command_lines(text: str) -> Iterator[str]:
    """Every line of a code block, and what the prose quotes of a program."""
    for kind, piece in blocks(text):
        if kind == "prose":
            quoted = re.findall(r"`([^`]+)`", " ".join(piece.split()))
            yield from (each for each in quoted if re.match(f"({'|'.join(PROGRAMS)}) ", each))
        elif kind != "python":
            lines = (line.strip() for line in piece.splitlines())
            yield from (line for line in lines if line not in NO_COMMANDS)


def words_of(line: str) -> list[str]:
    """What a shell would make of a line, without its comment and its settings of variables."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"\w+=", words[0]):
        del words[0]
    return words


def module_and_arguments(words: list[str]) -> tuple[str, list[str]] | None:
    """What stands behind `python -m` or behind torchrun's own options; None for other programs."""
    if words[:2] == ["python", "-m"]:
        return words[2], words[3:]
    if words[0] == "torchrun":
        from torch.distributed.run import get_args_parser

        options = get_args_parser().parse_args(words[1:])
        assert options.module
        return options.training_script, options.training_script_args
    return None


def check(line: str) -> None:
    """Raise where a command would be refused, or where nobody here knows it."""
    words = words_of(line)
    if not words:
        return
    found = module_and_arguments(words)
    if found is not None:
        _check_command(*found)
    elif words[0] == "make":
        (targets,) = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(targets.split()), line
    elif words[:2] == ["pip", "install"]:
        _check_installation(words[2:])
    else:
        pytest.fail(f"nothing checks {line!r}: teach {Path(__file__).name} what it is")


def _check_command(module: str, arguments: list[str]) -> None:
    assert module in commands.names(), module
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    own, of_training = arguments[:cut], arguments[cut + 1 :]
    try:
        commands.parser_of(module).parse_args(own)
        # The other two ask a run's folder or images.
        if module == "ffdwv_fast.train" and not {"--resume", "folder"} & set(own):
            configuration(own)
        if module == "ffdwv_fast.reproduce":
            configuration(of_training)
    except SystemExit as stopped:
        if stopped.code != 0:  # as --help has
            pytest.fail(f"{module} refuses {arguments}")


def _check_installation(words: list[str]) -> None:
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if word.startswith("-"):
            assert word in ("-e", "--no-build-isolation"), word
            continue
        what, _, extras = word.partition("==")[0].rstrip("]").partition("[")
        assert what in (".", "torch", "numpy", "ffdwv_fast") or what.endswith(".whl"), word
        assert set(filter(None, extras.split(","))) <= set(project["optional-dependencies"]), word


LINES = list(dict.fromkeys(command_lines(README)))


@pytest.mark.parametrize("line", LINES)
def test_command_is_one_that_there_is(line, tmp_path, monkeypatch, capsys):
    if "timm:" in line:
        imported_timm()
    monkeypatch.chdir(tmp_path)
    photographs(tmp_path / "photos")
    check(line)


@pytest.mark.parametrize(
    "line",
    [
        "python -m ffdwv_fast.nothing",
        "python -m ffdwv_fast.train --nothing",
        "python -m ffdwv_fast.train --loader torch --metric nothing",
        "torchrun --nproc-per-node 2 -m ffdwv_fast.train --nothing",
        "python -m ffdwv_fast.reproduce all -- --nothing",
        "python script.py",
        "make nothing",
        "pip install '.[nothing]'",
        "pip install something",
        "curl https://example.org",
    ],
)
def test_command_that_there_is_not_is_found(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = f"Before.\n\n    {line}  # why\n\nAfter.\n"
    (found,) = command_lines(text)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(found)


def test_commands_in_prose_and_fences_are_found_too():
    text = "Call `make this` or `S`.\n\n```bash\nmake that\n```\n\n```python\nx = 1\n```\n"
    assert list(command_lines(text)) == ["make this", "make that"]


def photographs(folder: Path) -> None:
    """A folder of images as the README lays it out: noise of a colour for each class."""
    noise = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 3)):
        for name, colour in (("cat", (200, 120, 40)), ("oak_tree", (40, 160, 60))):
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 50, (20, 24, 3)) + colour
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder as the README supposes it: runs, and photographs."""
    folder = tmp_path_factory.mktemp("home")
    (first,) = (line for line in LINES if words_of(line) == FIRST_TRAINING)
    (own_images,) = (line for line in LINES if words_of(line)[-3:-1] == ["--out", "runs/photos"])
    photographs(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        limit = ("--train-limit", "200")
        train.main([*words_of(first)[3:], *TINY, *limit, "--out", "runs/NAME"])
        train.main([*words_of(own_images)[3:], *TINY, "--image-size", "16"])
    for name, seed in (("A", 0), ("B", 1)):
        run = folder / "runs" / name
        shutil.copytree(folder / "runs" / "NAME", run)
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps({**config, "seed": seed}))
    for name in ("cat.jpg", "dog.png", "new.jpg"):
        Image.new("RGB", (40, 30), "orange").save(folder / name)
    return folder


FIRST_TRAINING = words_of("python -m ffdwv_fast.train --amp")
MAINS = {
    "ffdwv_fast.evaluate": (evaluate.main, []),
    "ffdwv_fast.export": (export.main, []),
    "ffdwv_fast.predict": (predict.main, []),
    "ffdwv_fast.report": (report.main, []),
    "ffdwv_fast.reproduce": (reproduce.main, ["--dry-run"]),
    "ffdwv_fast.similarity": (similarity.main, []),
}


def is_run(line: str) -> bool:
    words = words_of(line)
    return words[:2] == ["python", "-m"] and words[2] in MAINS and "onnx" not in words


@pytest.mark.parametrize("line", [line for line in LINES if is_run(line)])
def test_command_runs(line, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    module, arguments = module_and_arguments(words_of(line))
    main, first = MAINS[module]
    main([*first, *arguments])
    printed = capsys.readouterr().out
    for option in ("--json", "--out", "-o", "--plot"):
        if option in arguments and module != "ffdwv_fast.predict":
            assert (home / arguments[arguments.index(option) + 1]).stat().st_size > 100
    PRINTED[module](printed, arguments)


def _evaluated(printed, arguments):
    summary = json.loads(Path(arguments[0], "summary.json").read_text())
    if "test images" in printed:
        assert f"{summary['test_error']:.2f} %" in printed


def _predicted(printed, arguments):
    names = [line.split()[2] for line in printed.splitlines() if line.startswith("  ")]
    run, *images = arguments
    most = 2 if run == "runs/photos" else 5  # classes
    assert len(names) == most * len(images)
    assert names[:most] == names[-most:]  # the pictures are alike


PRINTED = {
    "ffdwv_fast.evaluate": _evaluated,
    "ffdwv_fast.export": lambda printed, _: printed.index("largest difference"),
    "ffdwv_fast.predict": _predicted,
    "ffdwv_fast.report": lambda printed, arguments: printed.index(f"wrote {arguments[-1]}"),
    "ffdwv_fast.reproduce": lambda printed, _: printed.index(" to do\n"),
    "ffdwv_fast.similarity": lambda printed, _: printed.index("mean diagonal"),
}


def expected_similarity() -> torch.Tensor:
    """S of cat, dog and ship in float64, from the bundled file."""
    with np.load(CLASS_WORDS_FILE) as asset:
        vectors = dict(zip(asset["words"].tolist(), asset["vectors"], strict=True))
    points = np.stack([vectors[word] for word in ("cat", "dog", "ship")]).astype(np.float64)
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    weights = np.exp(-distances)
    return torch.from_numpy(weights / weights.sum(axis=1, keepdims=True))


def reference(model, images, labels) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Cross-entropy, KL and the gradients of their sum, by PyTorch in float64."""
    parameters = [p.detach().double().requires_grad_() for p in model.parameters()]
    logits = F.linear(images.double(), *parameters)
    ce = F.cross_entropy(logits, labels)
    targets = expected_similarity()[labels]
    kl = F.kl_div(F.log_softmax(logits, dim=1), targets, reduction="batchmean")
    return ce, kl, list(torch.autograd.grad(ce + kl, parameters))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.detach().double(), expected.detach(), rtol=1e-5, atol=1e-6)


def _the_loop(names: dict) -> None:
    close(names["S"], expected_similarity())
    assert names["W"].shape == (3, 50)
    expected = [reference(names["model"], *batch) for batch in names["batches"]]
    close(names["loss"], sum(expected[-1][:2]))
    gradients = zip(*(each[2] for each in expected), strict=True)  # the loop adds them up
    for parameter, parts in zip(names["model"].parameters(), gradients, strict=True):
        close(parameter.grad, sum(parts))


def _without_autograd(names: dict) -> None:
    images, labels = names["batches"][-1]
    ce, kl, gradients = reference(names["model"], images, labels)
    close(names["parts"].loss, ce + kl)
    close(names["parts"].ce, ce)
    close(names["parts"].kl, kl)
    assert names["parts"].correct == (names["logits"].argmax(1) == labels).sum()
    for parameter, expected in zip(names["model"].parameters(), gradients, strict=True):
        close(parameter.grad, expected)


PYTHON_CHECKS = (_the_loop, _without_autograd)


def test_python_gives_the_papers_loss_and_its_gradient():
    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(5, 4, generator=generator), torch.tensor(labels))
        for labels in ([0, 1, 2, 2, 0], [1, 1, 0, 2, 1])
    ]
    names: dict = {"model": torch.nn.Linear(4, 3), "batches": batches}
    code = [piece for kind, piece in blocks(README) if kind == "python"]
    for piece, check_values in zip(code, PYTHON_CHECKS, strict=True):
        names["model"].zero_grad()
        exec(piece, names)
        check_values(names)
