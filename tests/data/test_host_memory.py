"""How much memory is left, of the machine and of a container."""

from pathlib import Path

import pytest

from ffdwv_fast.data import host_memory

V2 = {
    "memory.max": "1000\n",
    "memory.current": "900\n",
    "memory.stat": "anon 5\ninactive_file 40\n",
}
V1 = {
    "memory/memory.limit_in_bytes": "1000\n",
    "memory/memory.usage_in_bytes": "300\n",
    "memory/memory.stat": "cache 3\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (V2, 140),
        (V1, 700),
        (V2 | {"memory.max": "max\n"}, None),
        (V2 | {"memory.current": "5000\n"}, 0),
        ({}, None),
    ],
    ids=["version 2", "version 1", "no limit", "above the limit", "no container"],
)
def test_a_container_bounds_it(tmp_path, monkeypatch, files, expected):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path / "none")
    of_machine = host_memory.available_memory()
    monkeypatch.setattr(host_memory, "CGROUP", tmp_path)
    found = host_memory.available_memory()
    if expected is None:
        assert found == pytest.approx(of_machine, rel=0.5)
    else:
        assert found == expected


def test_the_machine_has_what_the_kernel_says():
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal"))
    assert 0 < host_memory.available_memory() < 1024 * total
