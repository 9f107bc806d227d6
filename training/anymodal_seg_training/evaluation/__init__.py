"""How good a trained network is: by subset, corruption, condition and confidence."""
