"""Lock + decisions + policy -> Clearance. The only cryptography and GitPython."""
