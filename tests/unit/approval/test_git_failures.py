"""What git says when it fails, in words of ours and with what to do."""

from __future__ import annotations

from okto_change.approval.safegit import failure


def test_a_full_disk_names_the_folder_to_make_room_in() -> None:
    """The mirror lies there, not in the clone."""
    told = failure("git init failed", "fatal: unable to write symref for HEAD: No space left on device\n")
    assert str(told).startswith("git init failed: unable to write symref")
    assert "~/.local/state/okto-change" in str(told.hint)


def test_secrets_in_urls_are_cut_out() -> None:
    """The reason stays."""
    told = failure("fetch failed", "fatal: unable to access 'https://ana:hunter2@forge.example/x.git/': 403\n")
    assert "hunter2" not in str(told) and "403" in str(told) and told.hint is None
