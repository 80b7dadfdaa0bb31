"""python -m ffdwv_fast.train, from its options to the folder it leaves."""

import json
import math
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ffdwv_fast import resnet8
from ffdwv_fast.command import run_command
from ffdwv_fast.data.digits import load_digits
from ffdwv_fast.data.image_op import why_not_on
from ffdwv_fast.data.loader import make_loader
from ffdwv_fast.engine import trainer
from ffdwv_fast.engine.metrics import EpochMetrics
from ffdwv_fast.engine.stop import Stopped, StopRequest
from ffdwv_fast.train import main

TINY = ("--dataset", "digits", "--model", "resnet8", "--epochs", "2", "--train-limit", "200")
EPOCH_KEYS = [
    *("epoch", "lr", "train_loss", "train_ce", "train_kl", "train_error", "test_error"),
    *("images_per_second", "validation_error", "peer_error", "skipped_steps"),
]


def train(out, *options):
    """Run the command in this process; the folder's contents."""
    main([*TINY, "--out", str(out), *options])
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return {
        "config": json.loads((out / "config.json").read_text()),
        "metrics": [json.loads(line) for line in lines],
        "summary": json.loads((out / "summary.json").read_text()),
        "weights": load_file(out / "model.safetensors"),
    }


def refused(capsys, *options) -> str:
    """The one line on stderr of a command that must exit with status 2."""
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda _: main([*TINY, *options]))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    return line


def without_rates(metrics):
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in metrics]


def assert_same_run(folder, run):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert without_rates(lines) == without_rates(run["metrics"])
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[name], t) for name, t in run["weights"].items())
    assert json.loads((folder / "config.json").read_text()) == run["config"]


def test_what_a_run_leaves(tmp_path):
    run = train(tmp_path / "run", "--loader", "torch")
    assert [list(line) for line in run["metrics"]] == [EPOCH_KEYS, EPOCH_KEYS]
    for line in run["metrics"]:
        assert line["train_loss"] == pytest.approx(line["train_ce"] + line["train_kl"], rel=1e-6)
        assert 0 <= line["test_error"] <= 100
        assert line["images_per_second"] > 0
    assert run["summary"]["test_error"] == run["metrics"][-1]["test_error"]
    parameters = sum(p.numel() for p in resnet8(in_channels=1).parameters())
    assert run["summary"]["parameters"] == parameters
    assert run["summary"]["seeds"] == [0]
    assert torch.__version__.startswith(run["summary"]["versions"]["torch"].split("+")[0])
    assert run["config"]["train_limit"] == 200
    assert run["config"]["similarity"]["source"] == "glove-6b-50d"


def test_saved_weights_give_the_reported_error(tmp_path):
    run = train(tmp_path / "run", "--loader", "torch")
    model = resnet8(10, in_channels=1)
    model.load_state_dict(run["weights"])
    model.eval()
    digits = load_digits()
    loader = make_loader(
        "torch", digits.test, digits, batch_size=360, device="cpu", seed=0, augment=False
    )
    (batch,) = loader.epoch(0)
    with torch.no_grad():
        wrong = (model(batch.images).argmax(1) != batch.labels).double().mean()
    assert run["summary"]["test_error"] == pytest.approx(100 * wrong.item(), abs=1e-9)


def test_evaluating_less_often_changes_nothing_else(tmp_path):
    options = ("--loader", "torch", "--epochs", "5")
    often = train(tmp_path / "a", *options)
    seldom = train(tmp_path / "b", *options, "--evaluate-every", "2")
    expected = without_rates(often["metrics"])
    expected[0]["test_error"] = expected[2]["test_error"] = None
    assert without_rates(seldom["metrics"]) == expected
    assert seldom["summary"]["test_nll"] == often["summary"]["test_nll"]


def test_same_seed_same_run_and_another_seed_another(tmp_path):
    first = train(tmp_path / "a", "--loader", "torch")
    again = train(tmp_path / "b", "--loader", "torch")
    other = train(tmp_path / "c", "--loader", "torch", "--seed", "1")
    assert without_rates(first["metrics"]) == without_rates(again["metrics"])
    assert all(torch.equal(first["weights"][k], again["weights"][k]) for k in first["weights"])
    assert not torch.equal(first["weights"]["fc.weight"], other["weights"]["fc.weight"])


def test_it_learns(tmp_path):
    options = ("--loader", "torch", "--train-limit", "1437", "--epochs", "5")
    run = train(tmp_path / "run", *options)
    assert run["metrics"][-1]["test_error"] < 20  # chance: 90; seen: 5
    assert run["metrics"][-1]["train_loss"] < run["metrics"][0]["train_loss"] / 2


def test_methods_start_from_the_same_weights_and_differ(tmp_path):
    ffdwv = train(tmp_path / "a", "--loader", "torch")
    vanilla = train(tmp_path / "b", "--loader", "torch", "--method", "vanilla")
    no_soft = train(tmp_path / "c", "--loader", "torch", "--soft-weight", "0")
    assert [line["train_kl"] for line in vanilla["metrics"]] == [None, None]
    assert vanilla["config"]["similarity"] is None
    first = vanilla["metrics"][0]
    assert first["train_loss"] == pytest.approx(first["train_ce"], rel=1e-6)
    assert vanilla["metrics"][0]["train_ce"] != ffdwv["metrics"][0]["train_ce"]
    cross_entropies = [run["metrics"][1]["train_ce"] for run in (no_soft, vanilla)]
    assert cross_entropies[0] == pytest.approx(cross_entropies[1], rel=1e-4)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_amp_alone_means_bfloat16_where_the_processor_has_it(
    tmp_path, monkeypatch, capsys, has_bf16
):
    monkeypatch.setattr("ffdwv_fast.engine.precision.computes_in_bf16", lambda _device: has_bf16)
    run = train(tmp_path / "run", "--loader", "torch", "--amp", "--device", "cpu")
    assert run["config"]["amp"] == ("bf16" if has_bf16 else "off")
    assert ("this CPU would emulate bf16" in capsys.readouterr().out) is not has_bf16
    assert all(math.isfinite(line["train_loss"]) for line in run["metrics"])


def test_dali_and_torch_train_alike(tmp_path):
    pytest.importorskip("nvidia.dali")
    one_epoch = ("--epochs", "1", "--lr", "0.001")
    dali = train(tmp_path / "a", "--loader", "dali", *one_epoch)
    plain = train(tmp_path / "b", "--loader", "torch", *one_epoch)
    assert dali["metrics"][0]["train_loss"] == pytest.approx(
        plain["metrics"][0]["train_loss"], rel=1e-4
    )


@pytest.mark.parametrize(
    "options",
    [("--workers", "1"), ("--without", "direct-gradient,weight-copies", "--amp", "bf16")],
    ids=lambda options: options[0],
)
def test_options_that_change_speed_alone(tmp_path, options):
    amp = options[options.index("--amp") :] if "--amp" in options else ()
    plain = train(tmp_path / "a", "--loader", "torch", *amp)
    other = train(tmp_path / "b", "--loader", "torch", *options)
    assert without_rates(plain["metrics"]) == without_rates(other["metrics"])
    assert all(torch.equal(plain["weights"][k], other["weights"][k]) for k in plain["weights"])
    assert plain["config"] != other["config"]


def test_compile_compiles_the_network(tmp_path, monkeypatch):
    compiled = []

    def compile_fast(model, **options):
        compiled.append(type(model).__name__)
        return original(model, backend="eager", **options)

    original = torch.compile
    monkeypatch.setattr(torch, "compile", compile_fast)
    plain = train(tmp_path / "a", "--loader", "torch", "--epochs", "1")
    assert compiled == []
    run = train(tmp_path / "b", "--loader", "torch", "--epochs", "1", "--compile")
    assert compiled == ["ResNet"]
    assert without_rates(run["metrics"]) == without_rates(plain["metrics"])
    assert run["config"]["compile"] is True


def test_seeds_are_the_runs_of_each_seed_alone(tmp_path, capsys):
    train_all = [*TINY, "--loader", "torch", "--seeds", "3,0", "--out", str(tmp_path / "all")]
    main(train_all)
    summary = json.loads((tmp_path / "all" / "summary.json").read_text())
    errors = []
    for seed in ("3", "0"):
        alone = train(tmp_path / seed, "--loader", "torch", "--seed", seed)
        assert_same_run(tmp_path / "all" / f"seed{seed}", alone)
        errors.append(alone["summary"]["test_error"])
    assert summary["seeds"] == [3, 0]
    assert summary["test_error"]["mean"] == pytest.approx(sum(errors) / 2)
    assert summary["test_error"]["sd"] == pytest.approx(abs(errors[0] - errors[1]) / math.sqrt(2))
    assert summary["test_error"]["n"] == 2
    assert "mean and standard deviation of 2 seeds" in capsys.readouterr().out
    files = [p for p in (tmp_path / "all").rglob("*.*") if p.name != "command.json"]
    before = {p: p.stat().st_mtime_ns for p in files}
    main(train_all)  # takes the finished runs as they are
    assert {p: p.stat().st_mtime_ns for p in files} == before


def test_the_end_says_where_the_time_went(tmp_path, capsys):
    run = train(tmp_path / "run", "--loader", "torch", "--epochs", "1")
    subjects = ["preparation", "data", "step", "evaluation", "other"]
    assert list(run["summary"]["time_shares"]) == subjects
    assert sum(run["summary"]["time_shares"].values()) == pytest.approx(100)
    printed = capsys.readouterr().out.splitlines()
    assert any(all(f"{name} " in line for name in subjects) for line in printed)


@pytest.mark.parametrize("method", ["ffdwv", "vanilla"])
def test_progress_names_the_soft_term_of_methods_that_have_one(tmp_path, capsys, method):
    train(tmp_path / "run", "--loader", "torch", "--epochs", "1", "--method", method)
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("epoch 1/1")]
    assert ("kl " in line) == (method == "ffdwv")


def test_soft_targets_from_an_array_of_embeddings(tmp_path):
    rows = np.random.default_rng(0).normal(size=(10, 16))
    np.save(tmp_path / "clip.npy", rows)
    options = ("--word-vectors", str(tmp_path / "clip.npy"), "--metric", "cosine")
    options += ("--temperature", "0.5", "--loader", "torch", "--epochs", "1")
    made_of = train(tmp_path / "run", *options)["config"]["similarity"]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    mean_diagonal = (1 / np.exp((unit @ unit.T - 1) / 0.5).sum(axis=1)).mean()
    assert made_of["mean_diagonal"] == pytest.approx(mean_diagonal, rel=1e-5)
    assert made_of["source"] == str(tmp_path / "clip.npy")


def test_temperature_is_solved_for_a_mean_diagonal(tmp_path):
    run = train(tmp_path / "run", "--loader", "torch", "--temperature", "auto:0.8", "--epochs", "1")
    assert run["config"]["similarity"]["mean_diagonal"] == pytest.approx(0.8, abs=1e-6)


def test_cifar100_with_its_two_word_names(tmp_path, cifar_dir):
    run = train(
        tmp_path / "run",
        *("--dataset", "cifar100", "--data-dir", str(cifar_dir), "--epochs", "1"),
        *("--train-limit", "256", "--batch-size", "128"),
    )
    assert run["config"]["similarity"]["mean_diagonal"] == pytest.approx(0.692, abs=5e-4)
    assert run["metrics"][0]["test_error"] > 50


def test_auto_takes_cifar10_where_it_is_and_says_so(tmp_path, cifar_dir, capsys):
    options = ("--train-limit", "64", "--epochs", "1", "--data-dir", str(cifar_dir))
    run = train(tmp_path / "run", "--dataset", "auto", *options)
    assert run["config"]["dataset"] == "cifar10"
    assert "--dataset digits" in capsys.readouterr().out


def test_auto_takes_digits_where_cifar10_is_not(tmp_path, capsys):
    run = train(tmp_path / "run", "--dataset", "auto", "--data-dir", str(tmp_path / "none"))
    assert run["config"]["dataset"] == "digits"
    assert "--dataset cifar10" in capsys.readouterr().out


BAD_OPTIONS = {
    "an unknown method": (["--method", "magic"], "invalid choice: 'magic' (choose from"),
    "an unknown data set": (["--dataset", "mnist"], "invalid choice: 'mnist'"),
    "an unknown network": (
        ["--model", "resnet18"],
        "argument --model: 'resnet18' is unknown; use resnet8, resnet20, resnet32, resnet44, "
        "resnet56, resnet110 or timm:NAME",
    ),
    "weights that are not there": (["--pretrained", "no.file"], "no.file: there is no such file"),
    "an unknown option": (["--batchsize", "3"], "unrecognized arguments: --batchsize"),
    "an abbreviated option": (["--epoch", "3"], "unrecognized arguments: --epoch"),
    "no epochs": (["--epochs", "0"], "'0' is not an integer of 1 or more"),
    "epochs in words": (["--epochs", "many"], "'many' is not an integer of 1 or more"),
    "a rate of zero": (["--lr", "0"], "'0' is not a number above 0"),
    "a rate that is no number": (["--lr", "nan"], "'nan' is not a number above 0"),
    "a negative weight": (["--soft-weight", "-1"], "'-1' is not a number of 0 or more"),
    "a negative seed": (["--seed", "-1"], "'-1' is not an integer from 0"),
    "an unknown precision": (["--amp", "fp8"], "invalid choice: 'fp8'"),
    "float16 on a CPU": (["--amp", "fp16", "--device", "cpu"], "--amp fp16 needs a GPU"),
    "an unknown device": (["--device", "tpu9"], "--device tpu9: expected auto, cpu, cuda"),
    "a device without support": (["--device", "meta"], "--device meta: expected auto, cpu, cuda"),
    "too many images": (["--train-limit", "5000"], "training limit of 5000: expected 1 to 1437"),
    "a temperature of zero": (["--temperature", "0"], "temperature"),
    "an impossible diagonal": (["--temperature", "auto:0.05"], "auto:0.05"),
    "a seed twice": (["--seeds", "1,2,1"], "'1,2,1' has a seed twice"),
    "seeds that are none": (["--seeds", "1,x"], "'x' is not an integer from 0"),
    "seeds and a seed": (["--seeds", "1,2", "--seed", "1"], "not allowed with argument"),
    "a graph on a CPU": (["--cuda-graph", "on", "--device", "cpu"], "there are none on device cpu"),
    "an unknown speed-up": (["--without", "turbo"], "--without turbo: there is no such speed-up"),
    "workers of another loader": (["--workers", "2"], "--workers 2 is for --loader torch"),
    "an alias that is none": (["--alias", "zero"], "expected NAME=WORDS"),
    "an alias for no class": (["--alias", "cat=dog"], "cat"),
    "a missing vector file": (["--word-vectors", "no/such/file.bin"], "no/such/file.bin"),
    "a word that is not bundled": (["--alias", "zero=wug"], "wug"),
}


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_get_one_line_and_status_2(capsys, tmp_path, options, message):
    assert message in refused(capsys, "--out", str(tmp_path / "run"), *options)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(capsys):
    assert "sees 0 CUDA devices" in refused(capsys, "--device", "cuda")


def test_a_folder_that_holds_a_run_is_left_alone(capsys, tmp_path):
    train(tmp_path / "run", "--epochs", "1", "--loader", "torch")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert "already holds a run" in refused(capsys, "--out", str(tmp_path / "run"))
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_dali_that_is_not_installed(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    line = refused(capsys, "--loader", "dali", "--out", str(tmp_path / "a"))
    assert "pip install 'ffdwv_fast[dali]'" in line
    run = train(tmp_path / "b", "--epochs", "1")
    reason = why_not_on(torch.device("cpu"))
    loader = "gpu" if reason is None else "torch"
    assert run["config"]["loader"] == loader
    assert f"loader: {loader}, as DALI is not installed" in capsys.readouterr().out


def test_without_dali_and_native_library_the_loader_is_torch(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    monkeypatch.setattr(
        "ffdwv_fast.training.configuration.why_not_on", lambda device: f"not built for {device}"
    )
    run = train(tmp_path / "run", "--epochs", "1")
    assert run["config"]["loader"] == "torch"
    assert "nor the gpu loader: not built for cpu" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_stops_the_run(capsys, monkeypatch, tmp_path):
    bad = EpochMetrics(math.nan, math.nan, 0.0, 90.0, 0)
    monkeypatch.setattr(trainer.MetricSums, "read", lambda self: bad)
    line = refused(capsys, "--loader", "torch", "--out", str(tmp_path / "run"))
    assert "the training loss became nan at step 1 of epoch 1 at learning rate 0.05" in line
    assert "try a lower --lr" in line


def test_without_a_terminal_there_is_a_line_for_each_epoch_and_no_bar(tmp_path, capsys):
    train(tmp_path / "run", "--loader", "torch")
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert len(lines) == 5  # what is trained, the epochs, two lines of results
    assert printed.err == ""
    assert not set("\r\x1b") & set(printed.out)


def test_on_a_terminal_there_is_a_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train(tmp_path / "run", "--loader", "torch")
    printed = capsys.readouterr()
    assert "\r" in printed.err
    assert "images/s, ETA" in printed.err
    assert "\r" not in printed.out


def test_json_is_the_summary_and_nothing_else_on_stdout(tmp_path):
    command = [sys.executable, "-m", "ffdwv_fast.train", *TINY, "--loader", "torch", "--json"]
    command += ["--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert printed.pop("folder") == str(tmp_path / "run")
    assert printed == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [line[:5] for line in done.stderr.splitlines()].count("epoch") == 2
    assert not set("\r\x1b") & set(done.stderr)


def test_json_of_seeds_is_the_summary_over_them(tmp_path, capsys):
    main([*TINY, "--loader", "torch", "--seeds", "0,1", "--json", "--out", str(tmp_path / "run")])
    printed = json.loads(capsys.readouterr().out)
    assert (printed.pop("folder"), printed["seeds"]) == (str(tmp_path / "run"), [0, 1])
    assert printed == json.loads((tmp_path / "run" / "summary.json").read_text())


def test_json_of_a_command_that_is_refused_is_nothing(capsys):
    with pytest.raises(SystemExit):
        run_command(lambda _: main([*TINY, "--json", "--without", "turbo"]))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("json_then", [(), ("--json",)], ids=["then not", "then too"])
def test_json_is_what_the_command_that_goes_on_says(tmp_path, capsys, monkeypatch, json_then):
    out = tmp_path / "run"
    monkeypatch.setattr(StopRequest, "check", stop_at_once)
    with pytest.raises(SystemExit):
        main([*TINY, "--loader", "torch", "--json", "--out", str(out)])
    assert capsys.readouterr().out == ""
    monkeypatch.undo()
    main(["--resume", str(out), *json_then])
    printed = capsys.readouterr().out
    assert printed.startswith("{") == bool(json_then)
    assert ("epoch 2/2" in printed) != bool(json_then)


def stop_at_once(self):
    raise Stopped(signal.SIGTERM)


def test_two_processes_do_not_write_to_the_same_folder(tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    long = ("--epochs", "500", "--out", str(out), "--loader", "torch")
    command = [sys.executable, "-m", "ffdwv_fast.train", *TINY, *long]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        while "epoch   2" not in first.stdout.readline():
            assert first.poll() is None
        line = refused(capsys, *long)
        assert line.startswith(f"error: --out {out}: another process is writing to it; wait for")
        assert first.stdout.readline().startswith("epoch")  # it goes on
        first.kill()
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    monkeypatch.setattr(StopRequest, "check", stop_at_once)
    with pytest.raises(SystemExit):
        main([*TINY, *long])  # the first one was killed: the folder is free
    assert "\nresumed after " in capsys.readouterr().out


def test_the_module_is_the_command(tmp_path):
    command = [sys.executable, "-m", "ffdwv_fast.train"]
    done = subprocess.run([*command, "--epochs", "0"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: argument --epochs: '0' is not an integer of 1 or more; see --help\n"
    )
    assert done.stdout == ""


def test_help_names_every_default(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "300 for cifar10" in text
    assert "(default: ffdwv)" in text
    assert "None" not in text
