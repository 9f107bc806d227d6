"""The subcommands of ``anymodal-train``, one file each."""
