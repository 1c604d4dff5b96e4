"""Where images and boxes come from and go to: sources, sinks, and the layouts of box files."""
