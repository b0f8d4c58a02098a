"""No operation is half there: the core, the reference, the tests and the benchmarks name the same things."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from pynet import _core, reference

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = {
    "augment_blur", "augment_color", "augment_uniform", "augment_warp", "build_info", "conv2d_algorithms",
    "conv2d_scratch", "empty", "empty_cache", "get_num_threads", "isa", "isa_levels", "lanes", "measure_peak",
    "memory_stats", "pool_bytes", "reset_peak_memory", "set_num_threads", "thread_choice",
}  # fmt: skip


def functions(module) -> set[str]:
    return {
        n for n, f in inspect.getmembers(module, callable) if not n.startswith("_") and not inspect.isclass(f)
    }


def families() -> list[str]:
    return re.findall(r"^FAMILY\((\w+)\)", (ROOT / "csrc/bindings/families.def").read_text(), re.M)


def test_core_and_reference_have_the_same_functions():
    assert functions(_core) - RUNTIME == functions(reference)


@pytest.mark.parametrize("name", sorted(functions(reference)))
def test_an_operation_stands_at_every_level(name):
    def stands(folder: str, pattern: str) -> bool:
        return any(re.search(rf"\b{name}\b", p.read_text()) for p in (ROOT / folder).rglob(pattern))

    assert stands("csrc/bindings", "*.cpp"), "bindings"
    assert stands("pynet", "*.py") and stands("pynet/reference", "*.py"), "reference"
    assert stands("tests/kernels", "*.py"), "a kernel test"
    assert stands("tests/reference", "*.py"), "a reference test"
    used = [p for p in (ROOT / "pynet").rglob("*.py") if "reference" not in p.parts]
    assert any(re.search(rf"\b{name}\b", p.read_text()) for p in used), "a caller"


def test_every_listed_kernel_is_defined_in_the_file_it_is_listed_under():
    text = (ROOT / "csrc/kernels/kernels.def").read_text()
    sections = re.split(r"^// (\w+\.cpp)", text, flags=re.M)
    assert len(sections) > 10
    for file, body in zip(sections[1::2], sections[2::2], strict=True):
        source = (ROOT / "csrc/kernels" / file).read_text()
        for name in re.findall(r"^KERNEL\([^,]+, (\w+),", body, re.M):
            assert re.search(rf"\b{name}\(", source), f"{name} is listed under {file}"


@pytest.mark.parametrize("family", sorted(set(families()) - {"runtime", "profile", "tape", "walk"}))
def test_a_family_has_its_files(family):
    assert (ROOT / "csrc/bindings" / f"{family}.cpp").exists()
    folder = "data" if family == "augment" else "kernels"
    assert (ROOT / "tests" / folder / f"test_{family}.py").exists()


def test_workers_are_reached_through_one_file():
    found = [p.name for p in (ROOT / "csrc/kernels").iterdir() if "workers::" in p.read_text()]
    assert found == ["parallel.h"]


def test_kernels_include_no_standard_library():
    allowed = {"stdint.h", "immintrin.h", "stddef.h"}
    for path in (ROOT / "csrc/kernels").iterdir():
        extra = set(re.findall(r"#include <(.+?)>", path.read_text())) - allowed
        assert not extra, f"{path.name} includes {extra}"
