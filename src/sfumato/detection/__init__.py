"""Finding faces: the networks, the finder that composes them, and the step."""
