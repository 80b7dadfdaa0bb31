"""What is imported and what is declared agree; where a library lacks, one line says so."""

import ast
import re
import subprocess
import sys

import pytest

from ffdwv_fast.extras import EXTRAS, MissingLibraryError, need
from tests import commands
from tests.commands import ROOT

PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn"}
COMES_WITH = {"urllib3": "requests", "markupsafe": "jinja2", "mpl_toolkits": "matplotlib"}
# DALI has a check of its own, for it is there or not on one machine after the other; pyarrow and
# the vectors' package are for those who make the bundled asset.
WITHOUT_A_ROW = {"nvidia", "pyarrow", "torch", "ffdwv_fast"}
COMMANDS = [name for name in commands.names() if name.startswith("ffdwv_fast.")]
COMMANDS.remove("ffdwv_fast.semantics.regenerate_glove")


def imported() -> set[str]:
    """Top-level names of the package's imports that Python does not bring."""
    found = set()
    for path in (ROOT / "ffdwv_fast").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def declared() -> dict[str, set[str]]:
    """Names of the distributions that each extra has, "" for the plain installation."""
    project = pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: {re.match(r"[\w.-]+", requirement)[0] for requirement in requirements}
        for extra, requirements in texts.items()
    }


def python(code: str, without: list[str]) -> subprocess.CompletedProcess:
    """Run code where some libraries cannot be imported."""
    program = f"import sys; sys.modules.update(dict.fromkeys({without!r}))\n{code}"
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_import_has_an_extra():
    rows = {library for own in EXTRAS.values() for library in own}
    assert imported() - WITHOUT_A_ROW - set(COMES_WITH) - rows == set()


def test_every_extra_declares_its_libraries():
    extras = declared()
    assert extras[""] == {"torch"}
    for extra, own in EXTRAS.items():
        assert {PACKAGES.get(library, library) for library in own} <= extras[extra]
        assert extra == "train" or "ffdwv_fast" in extras[extra]  # ffdwv_fast[train]


EVERYTHING = ["nvidia", *COMES_WITH, *(library for own in EXTRAS.values() for library in own)]

WITH_TORCH_ALONE = """
import math, runpy, torch, ffdwv_fast
logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], requires_grad=True)
s = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
loss = ffdwv_fast.ffdwv_loss(logits, torch.tensor([1, 2]), s)
loss.backward()
print(loss.item(), ffdwv_fast.resnet8()(torch.zeros(1, 3, 8, 8)).shape[1])
for name in ("class_vectors", "similarity_matrix", "SimilarityRows"):
    try:
        getattr(ffdwv_fast, name)
    except ImportError as error:
        print(error)
for command in %r:
    try:
        runpy.run_module(command, run_name="__main__")
    except SystemExit as stopped:
        print(command, stopped.code)
"""


def test_with_torch_alone_there_is_the_loss_and_the_rest_says_what_it_needs():
    done = python(WITH_TORCH_ALONE % COMMANDS, EVERYTHING)
    assert done.returncode == 0, done.stderr
    values, *lines = done.stdout.splitlines()
    loss, classes = values.split()
    assert float(loss) == pytest.approx(expected_loss(), rel=1e-6)
    assert classes == "10"
    says = "this needs numpy: pip install 'ffdwv_fast[train]'"
    assert lines == [says] * 3 + [f"{command} 2" for command in COMMANDS]
    for command, line in zip(COMMANDS, done.stderr.splitlines(), strict=True):
        extra = "report" if command == "ffdwv_fast.report" else "train"
        assert line.startswith("error: this needs numpy")
        assert line.endswith(f": pip install 'ffdwv_fast[{extra}]'")


def expected_loss() -> float:
    import numpy as np

    logits = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    soft = np.array([[0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    ce = -(log_p[0, 1] + log_p[1, 2]) / 2
    return ce + (soft * (np.log(soft) - log_p)).sum() / 2


def test_numpy_is_all_that_the_bundled_vectors_need():
    code = (
        "from ffdwv_fast import SimilarityRows, class_vectors, similarity_matrix\n"
        "vectors = class_vectors(['cat', 'dog', 'ship'])\n"
        "rows = similarity_matrix(vectors)\n"
        "print(vectors.shape[1], rows.argmax(dim=1).tolist(), *sys.modules.keys() & %r)"
    )
    rest = [name for name in EVERYTHING if name != "numpy"]
    done = python(code % {"numpy", "ffdwv_fast.engine"}, rest)
    assert done.stdout.split("\n")[0] == "50 [0, 1, 2] numpy", done.stderr


def test_what_is_missing_is_named_as_pip_knows_it(monkeypatch):
    for name in ("sklearn", "PIL"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibraryError) as raised:
        need("numpy", "PIL", "sklearn")
    says = "this needs pillow, scikit-learn: pip install 'ffdwv_fast[train]'"
    assert str(raised.value) == says
    assert isinstance(raised.value, ImportError)


def test_a_library_that_is_missed_on_the_way_is_one_line(monkeypatch, capsys, tmp_path):
    from ffdwv_fast import similarity
    from ffdwv_fast.command import run_command

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    options = ["--dataset", "digits", "--plot", str(tmp_path / "S.png")]
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda _: similarity.main(options))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: this needs matplotlib: pip install 'ffdwv_fast[train]'"
    assert list(tmp_path.iterdir()) == []


def test_an_import_that_no_extra_mends_is_no_users_error():
    from ffdwv_fast.command import run_command

    def main(_argv):
        import a_module_that_nobody_has  # noqa: F401

    with pytest.raises(ModuleNotFoundError):
        run_command(main)
