"""Choosing by the validation error: the arithmetic, and what is refused."""

import json

import pytest

from ffdwv_fast import choose
from ffdwv_fast.errors import InputError

CONFIG = {
    "method": "ffdwv",
    "dataset": "digits",
    "data_dir": "data",
    "train_limit": None,
    "model": "resnet8",
    "shortcut": "A",
    "epochs": 1,
    "batch_size": 32,
    "lr": 0.1,
    "weight_decay": 1e-4,
    "amp": "off",
    "compile": False,
    "cuda_graph": False,
    "without": [],
    "loader": "torch",
    "workers": 0,
    "device": "cpu",
    "seed": 0,
    "soft_weight": 1.0,
    "similarity": None,
    "validation": 100,
}


@pytest.fixture
def folder_of(tmp_path):
    """Makes a run's folder: configuration as told, and a summary with that error."""

    def make(error, **changes):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        config = CONFIG | changes
        (folder / "config.json").write_text(json.dumps(config))
        on = "test" if config["validation"] is None else "validation"
        if error is not None:
            (folder / "summary.json").write_text(json.dumps({f"{on}_error": error}))
        return str(folder)

    return make


def test_the_least_mean_is_chosen_and_what_is_close_is_named(folder_of, capsys):
    errors = {0.1: (10.0, 12.0, 14.0), 0.05: (9.0, 11.0, 12.5), 0.5: (10.0, 12.0, 13.5)}
    runs = [
        folder_of(error, lr=lr, seed=seed)
        for lr, by_seed in errors.items()
        for seed, error in enumerate(by_seed)
    ]
    choose.main(runs)
    # Differences 1, 1, 1.5: mean 7/6, sd sqrt(1/12); 1, 1, 1: no spread. t(0.975, 2) = 4.302653.
    reach = 4.302653 * (1 / 12) ** 0.5 / 3**0.5
    assert capsys.readouterr().out.splitlines() == [
        "validation error over seeds 0, 1, 2; minus the best one's, with 95 % interval",
        "  ffdwv, resnet8 on digits, lr 0.05   10.83 %",
        "  ffdwv, resnet8 on digits, lr 0.5    11.83 %  +1.00 [+1.00, +1.00]",
        f"  ffdwv, resnet8 on digits, lr 0.1    12.00 %  +1.17 [{7 / 6 - reach:+.2f}, "
        f"{7 / 6 + reach:+.2f}]",
        "least: ffdwv, resnet8 on digits, lr 0.05",
    ]


def test_one_seed_tells_nothing_apart(folder_of, capsys):
    choose.main([folder_of(11.0), folder_of(10.0, weight_decay=5e-4)])
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "least: ffdwv, resnet8 on digits, weight decay 0.0005",
        "not told apart from it by these runs: ffdwv, resnet8 on digits, weight decay 0.0001",
    ]


def test_methods_are_chosen_for_by_themselves(folder_of, capsys):
    ours = [folder_of(9.0), folder_of(8.0, lr=0.2)]
    theirs = [folder_of(20.0, method="vanilla"), folder_of(30.0, method="vanilla", lr=0.2)]
    choose.main([*ours, *theirs])
    chosen = [line for line in capsys.readouterr().out.splitlines() if line.startswith("least")]
    assert chosen == [
        "least: ffdwv, resnet8 on digits, lr 0.2",
        "least: vanilla, resnet8 on digits, lr 0.1",
    ]


def test_a_run_on_the_test_set_is_refused(folder_of, capsys):
    tested = folder_of(1.0, validation=None, lr=0.2)
    with pytest.raises(InputError, match=r"evaluated on the test set.*--validation N") as caught:
        choose.main([folder_of(2.0), tested])
    assert tested in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"lr": 0.2}, None, "has not finished"),
        ({"lr": 0.2, "validation": 50}, 1.0, r"--validation 50, .* 100: they are not measured"),
        ({"lr": 0.2, "train_limit": 500}, 1.0, r"--train-limit 500, .* None"),
        ({"lr": 0.2, "seed": 1}, 1.0, r"seeds 1; .*: seeds 0; train both with the same"),
    ],
)
def test_what_cannot_be_compared_is_refused(folder_of, changes, error, message):
    with pytest.raises(InputError, match=message):
        choose.main([folder_of(2.0), folder_of(error, **changes)])
