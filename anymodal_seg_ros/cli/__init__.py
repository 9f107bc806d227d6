"""The ``anymodal-seg`` command line, one file per subcommand, in rooms by use."""
