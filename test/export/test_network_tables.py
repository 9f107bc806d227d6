"""The tables of the documentation are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from anymodal_seg_ros.networks import network_names
from anymodal_seg_ros.networks.mix_transformer import count_parameters
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.export.network_tables import (
    HEAD_WIDTHS,
    PUBLISHED,
    flops,
    on_meta,
    published_table,
    read_table,
    size_row,
    write_table,
)

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs" / "reference" / "networks.md").read_text()


def test_the_page_has_the_published_counts_and_they_are_reached(page: str) -> None:
    table = read_table(page, "published")
    assert table == published_table()
    for published, line in zip(PUBLISHED, table.splitlines()[2:], strict=True):
        counted = float(line.strip(" |").split(" | ")[-1])
        assert counted == pytest.approx(published.millions, abs=0.01), line


@pytest.mark.parametrize("name", network_names())
def test_the_page_has_the_parameters_and_operations(page: str, name: str) -> None:
    assert f"| {' | '.join(size_row(name, 'mit_b0'))} |\n" in read_table(page, "mit_b0")


@pytest.mark.parametrize("name", network_names())
def test_the_page_has_those_of_the_larger_backbone(page: str, name: str) -> None:
    """How they grow with the sensors is the same code; to count it once more takes seconds."""
    (line,) = (x for x in read_table(page, "mit_b2").splitlines() if x.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    architecture = {"network": name, "backbone": "mit_b2", "head_width": HEAD_WIDTHS["mit_b2"]}
    network = on_meta(architecture)
    assert cells[1] == f"{count_parameters(network) / 1e6:.2f}"
    network.fold()
    assert cells[4] == f"{flops(network, 1) / 1e9:.1f}"


@pytest.mark.parametrize("table", [*HEAD_WIDTHS, "parity"])
def test_the_page_has_every_network_and_no_other(page: str, table: str) -> None:
    lines = read_table(page, table).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [f"| `{name}`" for name in network_names()]


def test_the_operations_are_those_of_the_deployment_study() -> None:
    """8.88 GFLOP for one sensor and 32.97 for four, measured with stems of each kind."""
    network = on_meta({"network": "anyseg", "backbone": "mit_b0"})
    network.fold()
    assert flops(network, 1) / 1e9 == pytest.approx(8.88, rel=0.02)
    assert flops(network, 4) / 1e9 == pytest.approx(32.97, rel=0.02)


def test_a_table_is_replaced_and_nothing_else() -> None:
    page = "a\n<!-- x -->\nold\n<!-- x -->\nb\n"
    assert write_table(page, "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- x -->\nb\n"
    assert read_table(page, "x") == "old\n"
    with pytest.raises(TrainingError, match="no table 'y'"):
        write_table(page, "y", "")
