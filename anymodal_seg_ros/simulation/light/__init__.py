"""Light in the world: sun, sky and lamps, and the radiance that a pixel gets of them."""
