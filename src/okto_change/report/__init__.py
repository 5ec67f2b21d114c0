"""Results -> text, JSON, Markdown. Pure; the only rich."""
