#!/usr/bin/env bash
# Installs a wheel into an empty environment and uses it: with torch alone the loss, with [train] the
# trainer.
#
#   PYTHON=.venv/bin/python tests/wheel.sh dist/ffdwv_fast-0.1.0-py3-none-linux_x86_64.whl
#
# TORCH is the version of torch (2.13.0+cpu), TORCH_INDEX where it comes from beside PyPI. The
# environment, under .venv-wheel, is made anew each time.
set -euo pipefail
cd "$(dirname "$0")/.."
wheel=$(realpath "$1")
env=$PWD/.venv-wheel
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

rm -rf "$env"
"${PYTHON:-python3}" -m venv "$env"
"$env/bin/pip" install --quiet "torch==${TORCH:-2.13.0+cpu}" \
  --extra-index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}"
"$env/bin/pip" install --quiet --no-compile --no-deps "$wheel"
cd "$folder" # where no other ffdwv_fast can be imported

site=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
bytes() { find "$@" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.1f MB", sum / 1e6 }'; }
needs() { objdump -T "$site/ffdwv_fast/libffdwv_fast.so" | grep -o "$1_[0-9.]*" | sort -Vu | tail -n 1; }
echo "$(basename "$wheel"): $(bytes "$wheel"), installed $(bytes "$site"/ffdwv_fast*)"
[ -z "$(command -v objdump)" ] || echo "the library needs $(needs GLIBC) and $(needs GLIBCXX)"

echo "== with torch alone"
"$env/bin/python" - <<'END'
import math

import torch

import ffdwv_fast

info = ffdwv_fast.build_info()
assert info["native"] and info["torch"] == torch.__version__, info
logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], requires_grad=True)
s = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
loss = ffdwv_fast.ffdwv_loss(logits, torch.tensor([1, 2]), s)
loss.backward()
gradient, expected = [], 0.0
for x, y, soft in zip(logits.tolist(), (1, 2), s[1:].tolist()):
    total = sum(map(math.exp, x))
    p = [math.exp(value) / total for value in x]
    expected -= math.log(p[y])
    expected += sum(t * math.log(t / q) for t, q in zip(soft, p))
    gradient.append([(2 * q - t - (j == y)) / 2 for j, (t, q) in enumerate(zip(soft, p))])
assert abs(loss.item() - expected / 2) < 1e-6, (loss.item(), expected / 2)
assert torch.allclose(logits.grad, torch.tensor(gradient), atol=1e-6), (logits.grad, gradient)
architectures = info["cuda_architectures"] or "none"
print(f"the loss is right: {loss.item():.6f}; CUDA architectures: {architectures}")
END

# torch itself has more to say of a numpy that is not there, in lines before.
if "$env/bin/python" -m ffdwv_fast.train 2>said; then exit 1; fi
tail -n 1 said | grep "^error: this needs numpy, .*: pip install 'ffdwv_fast\[train\]'$"
if grep Traceback said; then exit 1; fi

echo "== with [train]"
"$env/bin/pip" install --quiet "$wheel[train]"
"$env/bin/python" -m ffdwv_fast.train --dataset digits --model resnet8 --epochs 1 --device cpu --out run
"$env/bin/python" - <<'END'
import json

summary = json.load(open("run/summary.json"))
assert summary["test_error"] < 80, summary["test_error"]  # guessing: 90 %
END
"$env/bin/python" -m ffdwv_fast.evaluate run
