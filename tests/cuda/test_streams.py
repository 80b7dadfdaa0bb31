"""The op runs on the current stream, and calls on several streams share nothing.

A stream that sleeps shows on which one a kernel was put. All is run once before: memory comes from
the driver and kernels are loaded the first time, and both may wait for the whole device.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.cuda.device import (
    SLEEP_CYCLES,
    loss_and_gradient,
    put_to_sleep,
    without_logits,
)
from tests.loss.cases import Case, assert_identical, make_case

pytestmark = pytest.mark.gpu_only("a CPU has no streams")

# In one launch, and with the launch before it that counts labels.
SHAPES = pytest.mark.parametrize(("n", "c"), [(1000, 10), (4096, 100)])


@SHAPES
def test_sees_what_its_stream_wrote_before(n, c, device):
    case = make_case(n, c, device=device)
    want = loss_and_gradient(case)
    late = without_logits(case)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        loss_and_gradient(late)
        torch.cuda.synchronize()
        awake = put_to_sleep()
        late.logits.copy_(case.logits)
        got = loss_and_gradient(late)
        launched_in_time = not awake.query()
    torch.cuda.synchronize()
    assert launched_in_time, "the stream woke before the op was launched: the test showed nothing"
    assert_identical(got, want)


@SHAPES
def test_its_stream_sees_what_it_wrote(n, c, device):
    case = make_case(n, c, device=device)
    want = loss_and_gradient(case)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # so that what memory still holds are other logits' results
        [t.clone() for t in loss_and_gradient(without_logits(case))]
    torch.cuda.synchronize()
    awake = put_to_sleep()  # the default stream
    with torch.cuda.stream(side):
        got = [t.clone() for t in loss_and_gradient(case)]
    side.synchronize()
    assert not awake.query(), "the op, or the host, waited for the default stream"
    assert_identical(got, want)


@pytest.mark.parametrize("threads", [False, True], ids=["one thread", "a thread for each"])
def test_streams_at_once_share_nothing(threads, device):
    cases = [with_ignored_rows(make_case(5000, 10, seed=k, device=device), k + 2) for k in range(4)]
    want = [loss_and_gradient(case) for case in cases]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(3)]
    for stream in streams:  # launches pile up behind it, then run side by side
        with torch.cuda.stream(stream):
            torch.cuda._sleep(SLEEP_CYCLES // 10)

    def launch(which: int, turn: int):
        with torch.cuda.stream(streams[which]):
            return loss_and_gradient(cases[(turn + which) % len(cases)])

    turns, every = range(40), range(len(streams))
    if threads:
        with ThreadPoolExecutor(len(streams)) as pool:
            runs = pool.map(lambda which: [launch(which, turn) for turn in turns], every)
            results = list(runs)
    else:
        rounds = [[launch(which, turn) for which in every] for turn in turns]
        results = list(zip(*rounds, strict=True))
    torch.cuda.synchronize()
    for which in every:
        for turn in turns:
            wanted = want[(turn + which) % len(cases)]
            assert_identical(results[which][turn], wanted, f"stream {which}, turn {turn}")


def with_ignored_rows(case: Case, step: int) -> Case:
    labels = case.labels.clone()
    labels[::step] = -100
    return case._replace(labels=labels)
