"""The ``anymodal-seg`` command line, one file per subcommand."""
