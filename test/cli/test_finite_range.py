from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from anymodal_seg_ros.cli.options.finite_range import FiniteRange


@click.command()
@click.option("--seconds", type=FiniteRange(min=0.5))
def command(seconds: float) -> None:
    click.echo(seconds)


@pytest.mark.parametrize("given", ["nan", "inf", "-inf", "0.4", "x"])
def test_what_is_no_number_in_the_range_is_refused_by_its_value(given: str) -> None:
    result = CliRunner().invoke(command, ["--seconds", given])
    assert result.exit_code == 2 and given.lstrip("-") in result.output


def test_a_number_in_the_range_is_taken() -> None:
    assert CliRunner().invoke(command, ["--seconds", "2"]).output == "2.0\n"
