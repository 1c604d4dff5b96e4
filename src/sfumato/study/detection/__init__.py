"""Transfer to object detection: labelled scenes, a detector on each network, and its score."""
