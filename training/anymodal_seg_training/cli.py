"""The command ``anymodal-train``; each subcommand can also be run as a module of its own."""

from __future__ import annotations

import click

from anymodal_seg_training import train
from anymodal_seg_training.commands import (
    agreement,
    check_data,
    evaluate,
    export,
    import_published,
    pack,
    study,
)
from anymodal_seg_training.export import averaging, graphs, recalibration


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train, evaluate and export any-modal segmentation networks."""


main.add_command(train.main, "train")
main.add_command(averaging.main, "average")
main.add_command(recalibration.main, "recalibrate")
main.add_command(evaluate.main, "evaluate")
main.add_command(import_published.main, "import")
main.add_command(export.main, "export")
main.add_command(graphs.main, "graphs")
main.add_command(agreement.main, "agreement")
main.add_command(check_data.main, "check-data")
main.add_command(pack.main, "pack")
main.add_command(study.main, "study")

if __name__ == "__main__":
    main()
