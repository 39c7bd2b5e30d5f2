"""The after-action report as a page, as a file of its own, and as PDF."""
