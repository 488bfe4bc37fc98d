"""One launch: what is checked before it, Ray under it, Tune in it, and how it ends."""
