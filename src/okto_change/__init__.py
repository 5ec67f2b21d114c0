"""okto-change: change production data safely, and take it back."""

__version__ = "0.1.0"
