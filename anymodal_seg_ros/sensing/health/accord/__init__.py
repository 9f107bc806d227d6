"""Do the sensors tell of one world? Structure in common, contradiction, misalignment."""
