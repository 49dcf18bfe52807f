"""``visualizer``: a captioner by rules."""

TEXT = "A printed sheet with several lines of text; I cannot read them reliably."
BARS = "A chart with horizontal bars; I cannot read its values."
OBJECTS = "Some coloured objects on a plain ground; I cannot count them reliably."
PHOTOGRAPH = "A photograph."
