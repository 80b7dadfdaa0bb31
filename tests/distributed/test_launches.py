"""What several processes refuse, and what one makes of torchrun's variables."""

import pytest
import torch

from ffdwv_fast.command import run_command
from ffdwv_fast.engine import distributed
from ffdwv_fast.engine.step_graph import graph_wanted
from ffdwv_fast.errors import InputError
from ffdwv_fast.train import main
from tests.engine.test_trainer import make_trainer

TINY = ("--dataset", "digits", "--model", "resnet8", "--epochs", "1", "--train-limit", "100")
VARIABLES = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "1",
}


@pytest.fixture
def launched(monkeypatch):
    """A function that sets torchrun's variables."""

    def launch(**changes):
        for name, value in (VARIABLES | changes).items():
            monkeypatch.setenv(name, value)

    return launch


def refused(capsys, *options) -> str:
    """The one line on stderr of a command that must exit with status 2."""
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda _: main([*TINY, *options]))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_a_process_that_nobody_launched_is_alone():
    assert distributed.launch() is None
    with distributed.joined(torch.device("cpu")):
        assert not torch.distributed.is_initialized()
        assert (distributed.rank(), distributed.world_size()) == (0, 1)


def test_one_process_under_torchrun_is_alone(launched):
    launched(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    assert distributed.launch() is None


def test_torchruns_variables_are_read(launched):
    launched(RANK="5", LOCAL_RANK="1", WORLD_SIZE="8")
    assert distributed.launch() == (5, 8, 1)


@pytest.mark.parametrize(
    "changes", [{"RANK": "2"}, {"WORLD_SIZE": "two"}, {"LOCAL_RANK": "-1"}], ids=str
)
def test_variables_that_make_no_sense_are_refused(launched, changes):
    launched(**changes)
    with pytest.raises(InputError, match=r"RANK=.*not what torchrun sets; unset them"):
        distributed.launch()


def test_a_gpu_by_its_number_is_refused(launched):
    launched()
    with (
        pytest.raises(InputError, match=r"--device cuda:1 is one GPU.*use --device cuda"),
        distributed.joined(torch.device("cuda:1")),
    ):
        pass


def test_seeds_of_several_processes_are_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    line = refused(capsys, "--seeds", "1,2", "--out", str(tmp_path / "run"))
    assert "--seeds with 2 processes: they make one run together; use --seed" in line


def test_synchronised_batch_norm_on_a_cpu_is_refused(capsys, tmp_path):
    line = refused(capsys, "--sync-batch-norm", "--device", "cpu", "--out", str(tmp_path / "run"))
    assert "--sync-batch-norm works on GPUs only, not on cpu" in line


def test_several_processes_take_no_graph():
    cuda = torch.device("cuda")
    assert graph_wanted("auto", cuda, fused_optimizer=True)
    assert not graph_wanted("auto", cuda, fused_optimizer=True, processes=2)
    with pytest.raises(InputError, match="--cuda-graph on does not go with 2 processes"):
        graph_wanted("on", cuda, fused_optimizer=True, processes=2)


def test_restarts_without_a_folder_are_refused(capsys, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    assert "torchrun --max-restarts 3 needs --out DIR" in refused(capsys)


def test_a_restarted_process_whose_run_has_finished_ends_well(capsys, monkeypatch, tmp_path):
    run = (*TINY, "--out", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").touch()
    assert "already holds a run" in refused(capsys, *run[len(TINY) :])
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    main([*run])
    assert f"the run in {tmp_path / 'run'} has finished" in capsys.readouterr().out


def test_the_metrics_of_several_processes_go_on_in_one():
    trainer, other = make_trainer(), make_trainer()
    tensors, state = trainer.state()
    parts = torch.arange(15, dtype=torch.float64).view(3, 5)
    other.load({**tensors, "sums": parts}, state)
    assert torch.equal(other.step.sums.values, parts.sum(0))


def test_the_weights_of_the_parts_add_up_to_the_mean(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    means, sizes = torch.tensor([2.0, 5.0, 0.0]), (3, 4, 0)
    weights = [distributed.loss_weight(size, 7) for size in sizes]
    weighted = means * torch.tensor(weights)
    assert weighted[:2].sum().item() / 3 == pytest.approx((3 * 2 + 4 * 5) / 7)
