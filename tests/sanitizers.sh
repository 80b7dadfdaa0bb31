#!/usr/bin/env bash
# The native code under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.
#
#   PYTHON=.venv/bin/python tests/sanitizers.sh         # the whole op test suite
#   PYTHON=.venv/bin/python tests/sanitizers.sh quick   # some of it; no ThreadSanitizer
#
# Builds under build/sanitizers, with a copy of the package there: nothing of the checkout changes.
# ThreadSanitizer sees the row kernels in threads of a test's own. It cannot see them in torch's: that
# pool is not built with it, so that each of its hand-overs would look like a race.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "${PYTHON:-python3}")
extent=${1:-whole}
build=$PWD/build/sanitizers
tree=$build/tree
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
export PATH="$(dirname "$python"):$PATH"
export UBSAN_OPTIONS=print_stacktrace=1

configure_and_build() { # folder, sanitizers, targets...
  local folder=$1 sanitizers=$2
  shift 2
  cmake -S . -B "$folder" -G Ninja -DPython_EXECUTABLE="$python" -DFFDWV_CUDA=OFF \
    -DFFDWV_TESTS=ON -DFFDWV_SANITIZE="$sanitizers" -DFFDWV_OUTPUT_DIR="$tree/ffdwv_fast" \
    -DFFDWV_EMULATION_DIR="$tree/tests/emulation" -DFFDWV_VERSION="$version" \
    >"$build/configure.log"
  cmake --build "$folder" --target "$@" >"$build/build.log" || { tail -n 50 "$build/build.log"; exit 1; }
}

must_be_found() { # words of the report, command...
  local words=$1
  shift
  if "$@" >"$build/fault.log" 2>&1 || ! grep -q "$words" "$build/fault.log"; then
    cat "$build/fault.log"
    echo "NOT FOUND: $words, by $*"
    exit 1
  fi
  echo "a fault made on purpose is found: $words"
}

rm -rf "$tree"
mkdir -p "$tree"
tar --create --exclude='*.so' --exclude=__pycache__ pyproject.toml ffdwv_fast tests |
  tar --extract --directory "$tree"

tests=(row_test launch_error_test threads_test simd_test_baseline)
python_parts=(ffdwv_fast)
python_tests=(tests/loss/test_values.py tests/data/test_image_op.py)
slow="compile or every_layout or every_crop or random or registration or reference"
choice=(-k "not ($slow) and (not every_width or float32)")
if [ "$extent" = whole ]; then
  tests+=(emulation_test)
  [ "$(uname -m)" != x86_64 ] || tests+=(simd_test_avx2 simd_test_avx512)
  python_parts+=(_emulation)
  python_tests=(tests/loss tests/loss_variants tests/data/test_image_op.py tests/emulation)
  choice=()
fi

echo "== AddressSanitizer and UndefinedBehaviorSanitizer"
configure_and_build "$build/address" address,undefined \
  "${tests[@]}" sanitizer_faults sanitizer_faults_main "${python_parts[@]}"
must_be_found heap-buffer-overflow "$build/address/sanitizer_faults_main" address
must_be_found "signed integer overflow" "$build/address/sanitizer_faults_main" undefined
ctest --test-dir "$build/address" --output-on-failure -R "$(IFS='|'; echo "${tests[*]}")" \
  >"$build/ctest.log" || { cat "$build/ctest.log"; exit 1; }
echo "C++ tests: ${tests[*]} ($SECONDS s since the start)"

# libstdc++ too: ASan must find __cxa_throw when it starts, and Python does not link it.
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/address/CMakeCache.txt")
library() { realpath "$("$compiler" -print-file-name="$1")"; }
preload="$(library libasan.so) $(library libubsan.so) $(library libstdc++.so.6)"
# Python keeps memory to its end; the C++ tests above are looked through for leaks.
under_asan() {
  env -C "$tree" LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$tree" "$@"
}
call='import ctypes, sys; getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])(4)'
for fault in "address heap-buffer-overflow" "undefined signed"; do
  must_be_found "${fault#* }" under_asan "$python" -c "$call" \
    "$build/address/libsanitizer_faults.so" "${fault%% *}"
done
under_asan "$python" -c 'import sys; from ffdwv_fast.native import LIBRARY, load_library
assert load_library() is None and str(LIBRARY).startswith(sys.argv[1]), (LIBRARY, load_library())' "$tree"
under_asan "$python" -m pytest --quiet -p no:cacheprovider "${python_tests[@]}" "${choice[@]}"

if [ "$extent" = whole ]; then
  echo "== ThreadSanitizer ($SECONDS s since the start)"
  configure_and_build "$build/thread" thread threads_test sanitizer_faults_main
  must_be_found "data race" "$build/thread/sanitizer_faults_main" thread
  "$build/thread/threads_test"
fi
echo "sanitizers: silent but for the faults made on purpose, $SECONDS s"
