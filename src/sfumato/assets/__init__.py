"""What comes along: weights, demo images, templates."""
