"""Results -> text, JSON, Markdown. Pure, but for `progress`, which writes to the stream it is given; the only rich."""
